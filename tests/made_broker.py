"""A real mosquitto on this computer, and somebody who listens to it."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from visavis.watch.mqtt import Broker, parse_broker

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/opt/homebrew/sbin")


class Mosquitto:
    """A broker on this computer that can be killed and started again."""

    def __init__(self, folder: Path, *more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._file = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            *(more or ["allow_anonymous true"]),
            "persistence true",
            f"persistence_location {folder}/",
            # What is acknowledged is on the disk, as far as this broker can.
            "autosave_on_changes true",
            "autosave_interval 1",
            "user root" if os.geteuid() == 0 else "",
        ]
        self._file.write_text("\n".join(lines) + "\n")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(self._file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("mosquitto did not start")

    def stop(self, *, kill: bool = False) -> None:
        self._process.kill() if kill else self._process.terminate()
        self._process.wait(20)

    def broker(self, **options: str) -> Broker:
        return parse_broker(f"mqtt://127.0.0.1:{self.port}/test", **options)


class Listener:
    """Somebody who subscribed, and stays so while the broker is away."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import CallbackAPIVersion, Client

        self.messages: list[tuple[str, str, bool]] = []  # topic, text, kept
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False
        )
        self._ready = threading.Event()
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("test/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda client, data, one: self.messages.append(
            (one.topic, one.payload.decode(), one.retain)
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10)

    @property
    def numbers(self) -> set[int]:
        """The events that came."""
        texts = [text for topic, text, _ in self.messages if topic == "test/events/lost"]
        return {int(json.loads(text)["at"]) for text in texts}

    def until(self, ready: Callable[[], object]) -> None:
        """Wait for it, for 20 seconds at most."""
        until = time.monotonic() + 20
        while not ready() and time.monotonic() < until:
            time.sleep(0.05)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
