"""A client of the REST API for tests."""

import json
from dataclasses import dataclass
from typing import Any

import urllib3


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Calls with one token; refused connections raise urllib3's errors."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=2, read=70))

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        answer = self._http.request(method, self.url + path, body=data, headers=headers)
        return Answer(answer.status, answer.data, answer.headers)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    def create(self, **job: Any) -> dict[str, Any]:
        answer = self.call("POST", "/jobs", {"schedule": None, **job})
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.json
        return made

    def run_now(self, job_id: str, wait: float = 30) -> dict[str, Any]:
        answer = self.call("POST", f"/jobs/{job_id}/runs?wait={wait}")
        assert answer.status == 200, answer.body
        run: dict[str, Any] = answer.json
        return run

    def output(self, run_id: str, stream: str = "stdout") -> str:
        answer = self.call("GET", f"/runs/{run_id}/{stream}")
        assert answer.status == 200, answer.body
        return answer.body.decode()
