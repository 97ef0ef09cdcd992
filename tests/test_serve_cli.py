"""visavis serve as a process: what it prints, what it refuses, how it ends."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from documented import check_document

MODULE = [sys.executable, "-m", "visavis", "serve"]


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and what it prints once it listens."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [*MODULE, "--port", "0", "--json", "--gallery", str(folder), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            lines = iter(process.stdout.readline, "}\n")
            yield process, json.loads("".join(lines) + "}")
        finally:
            process.kill()


def stopped(process: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str]:
    process.send_signal(how)
    _, log = process.communicate(timeout=30)
    return process.returncode, log


@pytest.mark.slow
@pytest.mark.pack
def test_it_answers_until_it_is_told_to_stop_and_logs_nothing_personal(cache, tmp_path, portraits):
    with serving(tmp_path / "gallery") as (process, said):
        check_document(["serve", "--json"], said, failed=False)
        assert said["url"].startswith("http://127.0.0.1:")
        headers = {"Authorization": f"Bearer {said['admin_key']}"}
        photo = (portraits / "obama.jpg").read_bytes()
        made = httpx.post(
            f"{said['url']}/v1/people",
            data={"name": "Secret Name"},
            files={"images": ("secret.jpg", photo)},
            headers=headers,
            timeout=30,
        )
        assert made.status_code == 201
        code, log = stopped(process, signal.SIGTERM)
    assert code == 0
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [(one["route"], one["status"]) for one in lines] == [("/v1/people", 201)]
    assert not any(secret in log for secret in ("Secret", "secret.jpg", said["admin_key"]))
    with serving(tmp_path / "gallery") as (process, again):
        assert again["admin_key"] is None  # it was told once
        assert httpx.get(f"{again['url']}/v1/people", headers=headers).status_code == 200
        assert stopped(process, signal.SIGTERM)[0] == 0


@pytest.mark.slow
@pytest.mark.pack
def test_a_certificate_of_its_own_is_one(cache, tmp_path):
    with serving(tmp_path / "gallery", "--tls", "self") as (process, said):
        check_document(["serve", "--json"], said, failed=False)
        trusting = ssl.create_default_context(cafile=said["certificate"])
        answer = httpx.get(f"{said['url']}/v1/health", verify=trusting)
        assert (said["url"][:8], answer.status_code) == ("https://", 200)
        assert stopped(process, signal.SIGTERM)[0] == 0


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "there is no key yet: have one made, and keep it (--new-key)"),
        (["--port", "{taken}"], "choose another (--port)"),
        (["--tls", "none.pem"], "or let one be made: self (--tls)"),
        (["--watch", "entry=."], "visavis watch takes videos and folders (--watch)"),
        (
            ["--watch", "a=rtsp://h/1", "--watch", "a=rtsp://h/2"],
            "name them, as in entry=0 exit=1",
        ),
        (["--watch", "0=rtsp://h/a", "--attendance"], "visavis attendance rules FILE keeps them"),
    ],
)
def test_what_hinders_it_is_one_line(run, tmp_path, words, said):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        filled = [word.replace("{taken}", port) for word in words]
        filled += [] if "--port" in filled else ["--port", "0"]
        code, out, err = run("serve", "--gallery", tmp_path / "gallery", *filled)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith(said)


@pytest.mark.parametrize("port", ["65536", "http"])
def test_a_port_that_is_none_is_refused(run, port):
    code, out, err = run("serve", "--port", port)
    assert (code, out, "--port" in err) == (2, "", True)


@pytest.mark.slow
@pytest.mark.pack
def test_settings_of_who_signs_in_elsewhere_are_refused_by_their_option(run, tmp_path):
    path = tmp_path / "access.toml"
    path.write_text('url = "http://faces.example.org"\n[proxy]\naddresses = ["::1"]\nscopes = {}\n')
    code, _, said = run("serve", "--port", 0, "--gallery", tmp_path / "gallery", "--access", path)
    assert code == 2
    assert f"{path}: url: expected an address with https" in said
    assert "(--access)" in said
