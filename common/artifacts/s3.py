"""Artifacts and outputs in S3, or in whatever speaks its protocol: what a cluster uses.

Import this module only where a store is made: boto3 costs 50 MB and half a second.
"""

import base64
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cronkeeper.common.errors import Conflict, CronkeeperError, NotFound, Unavailable

from .store import CHUNK, ArtifactStore, OutputName, Stored, StoredOutput, checked_name
from .whole import receive, write_checked

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 20.0
ATTEMPTS = 3
REMOVED_AT_ONCE = 1000
"""How many objects S3 removes at one request."""
ARTIFACTS = "artifacts/"
OUTPUTS = "outputs/"
# What to look at when S3 refuses us, by its error code.
REFUSALS = {
    "InvalidAccessKeyId": "it does not know the key id: look at the S3 setting access_key",
    "SignatureDoesNotMatch": "the signature is wrong: look at the S3 setting secret_key",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
}
REFUSED = "look at the S3 settings access_key and secret_key, and at what that key may do in the bucket"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the artifacts lie: at `endpoint` (a URL), in `bucket`, under names that begin with `prefix`.

    Outputs lie beside them, so that other rights can be given to them: where the prefix ends in `artifacts/`, in
    `outputs/` in place of that, and else in `outputs/` below it.
    """

    endpoint: str
    bucket: str
    region: str = "us-east-1"
    access_key: str
    secret_key: str = field(repr=False)
    prefix: str = ARTIFACTS


class S3Store(ArtifactStore):
    """Objects: `<prefix><sha256>` are artifacts, `outputs/<run id>/<stream>` outputs. For any number of threads."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._outputs = settings.prefix.removesuffix(ARTIFACTS) + OUTPUTS
        self._client = _client(settings)

    def put_stream(self, chunks: Iterable[bytes]) -> Stored:
        # By way of a file without a name, since an object's key has to be known before its first byte is sent.
        try:
            with tempfile.TemporaryFile() as file:
                stored = receive(chunks, file)
                self._upload(stored, file)
        except OSError as error:
            folder = tempfile.gettempdir()
            raise Unavailable(f"no artifact can be kept in {folder} on its way to S3: {error}") from error
        return stored

    def fetch(self, sha256: str, target: Path) -> None:
        write_checked(self._chunks(sha256), sha256, target)

    def size(self, sha256: str) -> int:
        try:
            with self._translated(f"artifact {sha256}"):
                answer = self._client.head_object(Bucket=self._settings.bucket, Key=self._key(sha256))
        except NotFound:  # as in `check`: it may be the bucket that is missing
            self.check()
            raise
        return answer["ContentLength"]

    def location(self, sha256: str) -> str:
        return f"s3://{self._settings.bucket}/{self._key(sha256)}"

    def put_output(self, name: OutputName, content: BinaryIO, size: int) -> None:
        try:
            with self._translated(f"output {name}"):
                self._client.put_object(
                    Bucket=self._settings.bucket,
                    Key=self._outputs + str(name),
                    Body=content,
                    ContentLength=size,
                )
        except OSError as error:
            raise Unavailable(f"output {name} cannot be read on its way to S3: {error}") from error

    def open_output(self, name: OutputName) -> StoredOutput:
        def translated() -> AbstractContextManager[None]:
            return self._translated(f"output {name}")

        with translated():
            answer = self._client.get_object(Bucket=self._settings.bucket, Key=self._outputs + str(name))
        return StoredOutput(answer["ContentLength"], answer["Body"], translated)

    def remove_outputs(self, names: Iterable[OutputName]) -> None:
        rest = iter(names)
        while some := [str(name) for name in islice(rest, REMOVED_AT_ONCE)]:
            with self._translated(f"output {some[0]}"):
                answer = self._client.delete_objects(
                    Bucket=self._settings.bucket,
                    Delete={"Objects": [{"Key": self._outputs + name} for name in some], "Quiet": True},
                )
            for refused in answer.get("Errors", ()):
                raise Unavailable(f"S3 at {self._settings.endpoint} does not remove {refused}: {REFUSED}")

    def check(self) -> None:
        try:
            with self._translated(f"bucket {self._settings.bucket}"):
                self._client.head_bucket(Bucket=self._settings.bucket)
        except NotFound:  # the answer to HEAD has no body that would say what is missing
            raise self._no_bucket() from None

    def _upload(self, stored: Stored, file: IO[bytes]) -> None:
        """In one request, of which S3 takes up to 5 GiB: unlike parts, a broken one leaves nothing there."""
        for _ in range(ATTEMPTS):
            file.seek(0)
            try:
                with self._translated(f"artifact {stored.sha256}"):
                    self._client.put_object(
                        Bucket=self._settings.bucket,
                        Key=self._key(stored.sha256),
                        Body=file,
                        ContentLength=stored.size,
                        ChecksumSHA256=base64.b64encode(bytes.fromhex(stored.sha256)).decode(),
                        IfNoneMatch="*",
                    )
            except _Exists:
                pass
            except Conflict:  # another put of the same content is under way, and may yet fail
                continue
            return
        raise Unavailable(f"artifact {stored.sha256} is being written by others all the time")

    def _key(self, sha256: str) -> str:
        return self._settings.prefix + checked_name(sha256)

    def _chunks(self, sha256: str) -> Iterator[bytes]:
        with self._translated(f"artifact {sha256}"):
            answer = self._client.get_object(Bucket=self._settings.bucket, Key=self._key(sha256))
            with closing(answer["Body"]) as body:
                yield from body.iter_chunks(CHUNK)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Turn what boto3 raises into our own errors; `what` is what was asked for."""
        try:
            yield
        except ClientError as error:
            raise self._translate(error, what) from error
        except BotoCoreError as error:
            raise Unavailable(f"S3 at {self._settings.endpoint} does not answer: {error}") from error

    def _translate(self, error: ClientError, what: str) -> CronkeeperError:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        where = f"S3 at {self._settings.endpoint}"
        if code == "NoSuchBucket":
            return self._no_bucket()
        match status:
            case 404:
                return NotFound(f"{where} has no {what}")
            case 412:
                return _Exists(f"{where} has {what} already")
            case 409:
                return Conflict(f"{where}: {what} is being changed")
            case 401 | 403:
                return Unavailable(f"{where} refuses us {what} ({code}): {REFUSALS.get(code, REFUSED)}")
        return Unavailable(f"{where} failed at {what}: {error}")

    def _no_bucket(self) -> Unavailable:
        return Unavailable(
            f"S3 at {self._settings.endpoint} has no bucket {self._settings.bucket}: create it"
        )


class _Exists(Conflict):
    """The object to create is there already."""


def _client(settings: S3Settings) -> "S3Client":
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        config=Config(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            # We check every byte against the SHA-256 ourselves.
            response_checksum_validation="when_required",
        ),
    )
