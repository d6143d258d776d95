"""Simulated COS: a bucket in a folder, behind the checks of forms and requests."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from tornado.httputil import HTTPFile, parse_body_arguments

from config.sections import UploadsSettings
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from tencent.cos import policy_signature, request_authorization

PREFIX = "/cos/"
KEY = re.compile(r"[a-z]+(/[a-z0-9-]+)*/[a-z0-9]+\.[a-z]+")
LIFECYCLE = b"<LifecycleConfiguration><Prefix>uploads/</Prefix></LifecycleConfiguration>"


class Refusal(Exception):
    """COS refuses a request with a status and a code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(eq=False)
class SimulatedCos:
    """Objects of one bucket; each is a file, whose first line has its headers."""

    _uploads: UploadsSettings
    _folder: Path
    _now: Callable[[], float]

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        try:
            if request.method == "POST" and request.path == PREFIX:
                return self._post_form(request)
            if request.path == PREFIX and "lifecycle" in request.query:
                self._check_signature(request, "")
                return SimulatorReply(200, {"Content-Type": "application/xml"}, LIFECYCLE)
            return self._act_on_object(request)
        except Refusal as refusal:
            body = f"<Error><Code>{refusal.code}</Code></Error>".encode()
            return SimulatorReply(refusal.status, {"Content-Type": "application/xml"}, body)

    def _act_on_object(self, request: SimulatorRequest) -> SimulatorReply:
        key = unquote(request.path.removeprefix(PREFIX))
        if not KEY.fullmatch(key):
            raise Refusal(404, "NoSuchKey")
        if request.method != "GET" or request.header("Authorization"):  # objects are public
            self._check_signature(request, key)
        match request.method:
            case "GET":
                content, headers = self._object(key)
                if first := re.fullmatch(r"bytes=0-([0-9]+)", request.header("Range")):
                    headers["Content-Range"] = f"bytes 0-{first[1]}/{len(content)}"
                    return SimulatorReply(206, headers, content[: int(first[1]) + 1])
                return SimulatorReply(200, headers, content)
            case "PUT" if request.header("x-cos-copy-source"):
                return self._copy(request, key)
            case "PUT":
                return SimulatorReply(200, {"ETag": self._put(request, key, request.body)}, b"")
            case "DELETE":
                (self._folder / key).unlink(missing_ok=True)
                return SimulatorReply(204, {}, b"")
        raise Refusal(405, "MethodNotAllowed")

    def show(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer as a domain of the bucket (uploads.public_url): every object is public."""
        path = PREFIX + request.path.removeprefix("/cdn/")
        return self.answer(SimulatorRequest("GET", path))

    def _post_form(self, request: SimulatorRequest) -> SimulatorReply:
        """Store the file of a form that keeps to its policy."""
        form, file = _form(request)
        key_time = form.get("q-key-time", "")
        text = base64.b64decode(form.get("policy", "")).decode()
        signature = policy_signature(text, self._uploads.secret_key, key_time)
        if not hmac.compare_digest(signature, form.get("q-signature", "")):
            raise Refusal(403, "SignatureDoesNotMatch")
        policy = json.loads(text)
        self._check_time(key_time)
        if datetime.fromisoformat(policy["expiration"]) < datetime.fromtimestamp(self._now(), UTC):
            raise Refusal(403, "AccessDenied")
        fields = {**form, "bucket": self._uploads.bucket, "q-sign-time": key_time}
        for condition in policy.get("conditions") or [None]:
            _check_condition(condition, fields, len(file))
        key = form.get("key", "")
        if not KEY.fullmatch(key):
            raise Refusal(400, "MalformedPOSTRequest")
        etag = self.store(key, file, {"Content-Type": form.get("Content-Type", "")})
        return SimulatorReply(int(form.get("success_action_status", "204")), {"ETag": etag}, b"")

    def _check_signature(self, request: SimulatorRequest, key: str) -> None:
        authorization = request.header("Authorization")
        fields = dict(part.split("=", 1) for part in authorization.split("&") if "=" in part)
        names = fields.get("q-header-list", "").split(";")
        headers = {name: request.header(name) for name in names}
        key_time = fields.get("q-sign-time", "")
        expected = request_authorization(
            request.method, f"/{key}", headers, self._uploads, key_time, request.query
        )
        if "host" not in names or not hmac.compare_digest(expected, authorization):
            raise Refusal(403, "SignatureDoesNotMatch")
        self._check_time(key_time)

    def _check_time(self, key_time: str) -> None:
        match = re.fullmatch(r"([0-9]{1,12});([0-9]{1,12})", key_time)
        if match is None or not int(match[1]) <= self._now() <= int(match[2]):
            raise Refusal(403, "AccessDenied")

    def _copy(self, request: SimulatorRequest, key: str) -> SimulatorReply:
        _, _, source = request.header("x-cos-copy-source").partition("/")
        content, headers = self._object(unquote(source))
        if request.header("x-cos-copy-source-if-match") not in ("", headers["ETag"]):
            raise Refusal(412, "PreconditionFailed")
        if request.header("x-cos-forbid-overwrite") == "true" and (self._folder / key).exists():
            raise Refusal(409, "FileAlreadyExists")
        etag = self._put(request, key, content)
        body = f"<CopyObjectResult><ETag>{etag}</ETag></CopyObjectResult>".encode()
        return SimulatorReply(200, {"Content-Type": "application/xml"}, body)

    def _put(self, request: SimulatorRequest, key: str, content: bytes) -> str:
        """Store an object with the headers of a request; return its ETag."""
        kept = {name: request.header(name) for name in ("Content-Type", "Cache-Control")}
        return self.store(key, content, kept)

    def store(self, key: str, content: bytes, headers: Mapping[str, str]) -> str:
        """Store an object, even one that no form permits; returns its ETag."""
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps({**headers, "ETag": etag}).encode()
        path.write_bytes(head + b"\n" + content)
        return etag

    def _object(self, key: str) -> tuple[bytes, dict[str, str]]:
        if not KEY.fullmatch(key) or not (self._folder / key).exists():
            raise Refusal(404, "NoSuchKey")
        head, _, content = (self._folder / key).read_bytes().partition(b"\n")
        return content, json.loads(head)


def _form(request: SimulatorRequest) -> tuple[dict[str, str], bytes]:
    """Return the fields of a multipart form and its file, which has to be the last part."""
    arguments: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    parse_body_arguments(request.header("Content-Type"), request.body, arguments, files)
    if [*files] != ["file"] or len(files["file"]) != 1:
        raise Refusal(400, "MalformedPOSTRequest")
    fields = {name: values[-1].decode() for name, values in arguments.items()}
    return fields, files["file"][0].body


def _check_condition(condition: object, fields: Mapping[str, str], size: int) -> None:
    """Refuse a form if its fields or the size of its file break a condition of its policy."""
    match condition:
        case dict():
            is_met = all(fields.get(name) == value for name, value in condition.items())
        case ["eq", str(name), value]:
            is_met = fields.get(name.removeprefix("$")) == value
        case ["starts-with", str(name), str(value)]:
            is_met = fields.get(name.removeprefix("$"), "").startswith(value)
        case ["content-length-range", int(low), int(high)]:
            if not low <= size <= high:
                raise Refusal(400, "EntityTooLarge" if size > high else "EntityTooSmall")
            is_met = True
        case _:
            raise Refusal(400, "InvalidPolicyDocument")
    if not is_met:
        raise Refusal(403, "AccessDenied")
