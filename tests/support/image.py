"""Builds what a Containerfile says without a container engine: on a debootstrap of Debian, by overlays and chroot.

Each step that changes files is a layer, kept below the user's temporary folder under a key made of all that it
comes from, so that only what has changed is built again. Takes root.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from testbed.server import dying_with_us, program

ROOT = Path(__file__).parents[2]
CACHE = Path(tempfile.gettempdir()) / f"cronkeeper-testbed-{os.geteuid()}" / "layers"
MIRROR = "http://deb.debian.org/debian"
BASES = {"debian:bookworm-slim": "bookworm"}
UNUSED_FOR = 1800.0
"""Seconds after which a layer goes when the same step makes another one: no test runs for so long."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What Debian's own images have, so that packages neither start anything nor sync every file.
OF_IMAGES = {
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
    "etc/dpkg/dpkg.cfg.d/docker-apt-speedup": "force-unsafe-io\n",
    "etc/apt/apt.conf.d/docker-clean": 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };\n',
}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# A /dev with no more in it than a container's, in the folder that we are in.
IN_DEV = """
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    : > dev/$name
    mount --bind /dev/$name dev/$name
done
mkdir dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
"""
# $1 the layers below, topmost first; $2 the layer to write, or nothing; $3 an empty folder. The rest is run in the
# whole of them, which nobody else sees and which goes with the process.
MOUNT = f"""
set -e
lower=$1 upper=$2 place=$3
shift 3
mount -t tmpfs -o mode=755 tmpfs "$place"
mkdir "$place/root"
if [ -z "$upper" ]; then
    mkdir "$place/upper" "$place/work"
    set -- "$place/upper" "$place/work" "$@"
else
    set -- "$upper" "$upper.work" "$@"
fi
mount -t overlay -o "lowerdir=$lower,upperdir=$1,workdir=$2" overlay "$place/root"
shift 2
cd "$place/root"
mount -t proc proc proc
{IN_DEV}
mount -t tmpfs tmpfs run
cp /etc/resolv.conf {CERTIFICATES} run/
[ -L etc/resolv.conf ] || {{ : >> etc/resolv.conf; mount --bind /etc/resolv.conf etc/resolv.conf; }}
# As a child: whoever takes on another user forgets whom to die with, and this has to be the first process here.
chroot "$@" || exit
exit 0
"""


@dataclass(frozen=True)
class Image:
    """What a stage of a Containerfile comes to."""

    stage: str
    layers: tuple[Path, ...]
    """The lowest first."""
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": PATH})
    directory: str = "/"
    user: str = "root"
    command: tuple[str, ...] = ()

    def run(
        self, *words: str, upper: Path | None = None, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command as a container of this image would; what it writes is lost, or kept in `upper`."""
        environment = {**self.environment, **variables}
        inner = [
            "env",
            "-i",
            f"--chdir={self.directory}",
            *(f"{k}={v}" for k, v in environment.items()),
            *words,
        ]
        with tempfile.TemporaryDirectory() as place:
            mounted = ["sh", "-c", MOUNT, "sh", self.lower, str(upper or ""), place]
            apart = [
                program("unshare"),
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--propagation",
                "private",
            ]
            command = [*dying_with_us(), *apart, *mounted, f"--userspec={self.user}", ".", *inner]
            return subprocess.run(command, capture_output=True, text=True, check=False)

    @property
    def lower(self) -> str:
        """For an overlay."""
        return ":".join(str(layer) for layer in reversed(self.layers))


def build(containerfile: Path, target: str) -> Image:
    """The image that `target` names, built as far as it has changed."""
    stages: dict[str, list[tuple[str, str]]] = {}
    for word, rest in _instructions(containerfile.read_text()):
        if word == "FROM":
            base, name = rest.split(" AS ")
            stages[name] = [(word, base)]
        else:
            stages[name].append((word, rest))
    return _stage(stages, target)


def with_packages(image: Image, below: Image, packages: str) -> Image:
    """The image with Debian's packages, installed on one that it is built from: so that is done once for all."""
    command = (
        f"apt-get update && apt-get install -y --no-install-recommends {packages} && rm -r /var/lib/apt/lists"
    )
    added = _run(replace(below, stage="packages"), command).layers[-1]
    return replace(image, layers=(*image.layers, added))


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word, rest.strip()) for word, rest in found]


def _stage(stages: Mapping[str, list[tuple[str, str]]], target: str) -> Image:
    (_, base), *steps = stages[target]
    image = _stage(stages, base) if base in stages else Image("debian", (_debian(BASES[base]),))
    image = replace(image, stage=target)
    for word, rest in steps:
        image = _step(stages, image, word, rest)
    return image


def _step(stages: Mapping[str, list[tuple[str, str]]], image: Image, word: str, rest: str) -> Image:
    if word == "RUN":
        return _run(image, rest)
    if word == "COPY":
        first, *names, target = shlex.split(rest)
        if first.startswith("--from="):
            return _copy_from(image, _stage(stages, first.removeprefix("--from=")), names[0], target)
        return _copy(image, [first, *names], target)
    return replace(image, **_setting(image, word, rest))


def _setting(image: Image, word: str, rest: str) -> dict[str, Any]:
    """What changes by a step that changes no files."""
    if word == "ENV":
        return {
            "environment": {**image.environment, **dict(each.split("=", 1) for each in shlex.split(rest))}
        }
    if word == "CMD":
        return {"command": tuple(json.loads(rest))}
    simple = {"WORKDIR": "directory", "USER": "user"}
    assert word in (*simple, "EXPOSE", "VOLUME"), f"nothing is known of {word}"
    return {simple[word]: rest} if word in simple else {}


def _run(image: Image, command: str) -> Image:
    def fill(upper: Path) -> None:
        done = image.run("/bin/sh", "-c", command, upper=upper, **_of_this_machine())
        assert done.returncode == 0, f"RUN {command}\n{done.stdout}\n{done.stderr}"

    return _with_layer(image, f"run {command} {image.directory} {image.environment}", fill)


def _copy(image: Image, names: Sequence[str], target: str) -> Image:
    files = {name: _files(ROOT / name) for name in names}
    digest = hashlib.sha256()
    for path in (path for found in files.values() for path in found):
        digest.update(f"{path.relative_to(ROOT)} {path.stat().st_mode}\n".encode() + path.read_bytes())

    def fill(upper: Path) -> None:
        place = upper / str(Path(image.directory) / target).lstrip("/")
        for name, found in files.items():
            for path in found:
                below = path.relative_to(ROOT / name) if (ROOT / name).is_dir() else path.name
                (place / below).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place / below)

    return _with_layer(image, f"copy {target} {digest.hexdigest()}", fill)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [each for each in sorted(path.rglob("*")) if each.is_file() and "__pycache__" not in each.parts]


def _copy_from(image: Image, source: Image, path: str, target: str) -> Image:
    def fill(upper: Path) -> None:
        place = upper / target.lstrip("/")
        place.parent.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as folder:
            merged = f"lowerdir={source.lower}"
            script = 'mount -t overlay -o "$1" overlay "$2" && cp -a "$2$3" "$4"'
            words = ["sh", "-c", script, "sh", merged, folder, path, str(place)]
            subprocess.run([*dying_with_us(), program("unshare"), "--mount", *words], check=True)

    return _with_layer(image, f"copy {source.layers[-1]} {path} {target}", fill)


def _with_layer(image: Image, what: str, fill: Callable[[Path], None]) -> Image:
    layer = _layer(f"{image.layers[-1]} {what}", f"{image.stage}-{len(image.layers)}", fill)
    return replace(image, layers=(*image.layers, layer))


def _layer(key: str, kind: str, fill: Callable[[Path], None]) -> Path:
    """The folder with this key, filled first where it is not there."""
    folder = CACHE / kind
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    layer = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
    if not layer.exists():
        for other in folder.iterdir():
            if time.time() - other.stat().st_mtime > UNUSED_FOR:
                shutil.rmtree(other)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            upper, work = Path(place) / "files", Path(place) / "files.work"
            upper.mkdir()
            work.mkdir()
            fill(upper)
            if not layer.exists():  # another process may have been faster
                upper.rename(layer)
    os.utime(layer)
    return layer


def _debian(suite: str) -> Path:
    def fill(upper: Path) -> None:
        command = [program("debootstrap"), "--variant=minbase", suite, str(upper), MIRROR]
        done = subprocess.run([*dying_with_us(), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        for name in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
            shutil.rmtree(upper / name)
            (upper / name).mkdir()
        for name, text in OF_IMAGES.items():
            (upper / name).parent.mkdir(parents=True, exist_ok=True)
            (upper / name).write_text(text)
            (upper / name).chmod(0o755)

    return _layer(f"debootstrap slim {suite} {OF_IMAGES}", "debian", fill)


def _of_this_machine() -> dict[str, str]:
    """How pip and apt get out of here."""
    passed = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    pip = {name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL") if name in os.environ}
    return {**passed, **pip, "PIP_CERT": f"/run/{CERTIFICATES.name}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
