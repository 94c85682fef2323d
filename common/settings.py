"""What can be set: the tables of the configuration, their keys and defaults. `config` reads them."""

import msgspec

CRON_TAKES = 2.0
"""Seconds at most from a minute's begin until cron has begun what is due, but in a burst."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the configuration; a key that is not known is refused."""


class Fleet(Section, frozen=True):
    """What holds for all nodes. Times in seconds."""

    timezone: str = ""
    """The zone of jobs that name none; empty: the zone of the machine that takes the job in."""
    run_as: str = "nobody"
    """The user that jobs run as where they name none."""
    session_timeout: float = 6.0
    run_lease: float = 60.0
    on_time: float = 30.0
    clock_grace: float = 5.0
    max_skew: float = 5.0
    """How far a node's clock may be from ZooKeeper's: beyond it claims nothing."""

    @property
    def punctual(self) -> float:
        """Within so many seconds of being due a tick begins, where nothing is in the way."""
        return self.clock_grace + CRON_TAKES


class Sql(Section, frozen=True):
    """The database, as an SQLAlchemy URL."""

    url: str = ""


class Zookeeper(Section, frozen=True):
    """The ensemble: host:port, comma-separated, and the fleet's root in it."""

    hosts: str = ""
    root: str = "/cronkeeper"


class S3(Section, frozen=True):
    """The bucket of artifacts."""

    endpoint: str = ""
    bucket: str = "cronkeeper"
    region: str = "us-east-1"
    prefix: str = "artifacts/"
    access_key: str = ""
    secret_key: str = ""


class Api(Section, frozen=True):
    """Where the API listens, how many processes and threads serve it, and the tokens of its two roles."""

    url: str = "http://127.0.0.1:30000"
    """Where workers and the command line find it."""
    bind: str = "127.0.0.1:30000"
    """Addresses to listen on, comma-separated; gunicorn's forms."""
    workers: int = 2
    threads: int = 8
    drain_delay: float = 2.0
    """Seconds that all is served as ever, but /health, once the API was told to end."""
    admin_token: str = ""
    user_token: str = ""


class Worker(Section, frozen=True):
    """One node."""

    node: str = ""
    """Its name; empty: the host's."""
    home: str = "/var/lib/cronkeeper"
    key_file: str = "/etc/cronkeeper/node.key"
    crontab: str = "/etc/cron.d/cronkeeper"
    """A file of cron's, or `user` for the crontab of whoever runs the worker, or `none`: the clock leads."""
    allow_run_as: tuple[str, ...] = ()
    """The users that admins may run jobs as on this node, besides fleet.run_as; `*` for any."""
    labels: tuple[str, ...] = ()
    """What the node is or has, as key=value: jobs may require it."""
    max_running: int = 0
    """How many runs go on at once; 0: four for each core."""
    capacity: int = 0
    """The most jobs that are placed here; 0: no limit."""
    metrics: str = ""
    """Where Prometheus finds this worker's figures, host:port; empty: nowhere."""


class Manager(Section, frozen=True):
    """One manager; its name is for people, empty: the host's and the process id."""

    name: str = ""
    metrics: str = ""
    """Where Prometheus finds this manager's figures, host:port; empty: nowhere."""


class History(Section, frozen=True):
    """What is kept of runs that have ended: as long as both limits allow; 0: no limit."""

    runs_days: float = 90.0
    runs_per_job: int = 1000
    output_days: float = 30.0
    output_per_job: int = 100


class Log(Section, frozen=True):
    """The log, on standard error."""

    level: str = "info"
    """debug, info, warning or error."""
    format: str = "text"
    """text, or json: one object a line."""


class Config(Section, frozen=True):
    """Everything."""

    fleet: Fleet = Fleet()
    sql: Sql = Sql()
    zookeeper: Zookeeper = Zookeeper()
    s3: S3 = S3()
    api: Api = Api()
    worker: Worker = Worker()
    manager: Manager = Manager()
    history: History = History()
    log: Log = Log()
