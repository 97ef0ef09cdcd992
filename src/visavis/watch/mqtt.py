"""Events to an MQTT broker, each until the broker has acknowledged it.

Knows topics and a connection that comes back. What cannot be sent now is kept in memory, up to a
bound; the broker's password is never shown, logged or told.
"""

import json
import logging
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from visavis.errors import OutputError
from visavis.extras import need
from visavis.watch.events import Event
from visavis.watch.writing import event_json

log = logging.getLogger(__name__)

PORTS = {"mqtt": 1883, "mqtts": 8883}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
TOPIC = "visavis"  # where the address names none
ONLINE, OFFLINE = "online", "offline"
MOST = 10_000  # events that wait for the broker
PATIENCE = 10.0  # seconds for the first answer, and for the last acknowledgements
KEEPALIVE = 30  # seconds of silence after which the broker tells that this program is gone
FASTEST, SLOWEST = 1, 10  # seconds between two tries to connect again


@dataclass(frozen=True, slots=True)
class Broker:
    """Where events go: PREFIX/events/KIND, and PREFIX/status, which is kept."""

    host: str
    port: int
    tls: bool
    prefix: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """The address, without who logs in."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}/{self.prefix}"

    @property
    def status(self) -> str:
        """The topic that says whether anybody watches."""
        return f"{self.prefix}/status"

    def topic(self, event: Event) -> str:
        """The topic of an event."""
        return f"{self.prefix}/events/{event.kind}"


def credentials(environment: Mapping[str, str]) -> tuple[str, str]:
    """Who logs in at a broker, and the password: of the environment, or of a file that it names.

    Raises OutputError for a file that cannot be read.
    """
    user, password, file = (
        environment.get(f"VISAVIS_MQTT_{name}", "")
        for name in ("USER", "PASSWORD", "PASSWORD_FILE")
    )
    if password or not file:
        return user, password
    try:
        return user, Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise OutputError(f"{file}: the broker's password cannot be read: {reason}") from error


def parse_broker(address: str, user: str = "", password: str = "") -> Broker:
    """A broker by its address, mqtts://HOST[:PORT][/TOPIC], or mqtt:// without encryption.

    Raises OutputError for what is none, for a password in it, and for one that would be sent in the
    clear to another computer.
    """
    mend = "expected mqtts://HOST or mqtt://HOST, with :PORT and /TOPIC where they are others"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise OutputError("not the address of a broker", mend=mend, option="mqtt") from error
    prefix = parts.path.strip("/") or TOPIC
    if parts.scheme not in PORTS or not host or set(address) & set("+#?\0"):
        raise OutputError("not the address of a broker", mend=mend, option="mqtt")
    if parts.username is not None:
        raise OutputError(
            "expected no user and no password in the broker's address: others see them in the list "
            "of processes",
            mend="set VISAVIS_MQTT_USER and VISAVIS_MQTT_PASSWORD, or VISAVIS_MQTT_PASSWORD_FILE",
            option="mqtt",
        )
    if password and parts.scheme == "mqtt" and host not in LOOPBACK:
        raise OutputError(
            f"mqtt://{host}: the password would be readable on its way",
            mend="use mqtts://",
            option="mqtt",
        )
    return Broker(host, port, parts.scheme == "mqtts", prefix, user, password)


class MqttSink:
    """Publishes each event once at least (QoS 1), also after the broker was away."""

    def __init__(self, broker: Broker, *, most: int = MOST, patience: float = PATIENCE) -> None:
        self._broker, self._patience = broker, patience
        self._changed = threading.Condition()  # guards what follows
        self._sent = self._acknowledged = self.refused = 0
        self._answer: str | None = None  # of the broker to the first connection; "": welcome
        self._client = _client(broker, most)
        self._client.on_connect = self._connected
        self._client.on_publish = self._published
        self._client.on_disconnect = self._disconnected
        self._connect()

    @property
    def waiting(self) -> int:
        """Messages that the broker has not acknowledged so far."""
        with self._changed:
            return self._sent - self._acknowledged

    def __call__(self, event: Event) -> None:
        """Publish an event. One for which there is no room is counted, and told at the end."""
        line = json.dumps(event_json(event), ensure_ascii=False)
        if not self._publish(self._broker.topic(event), line):
            if not self.refused:
                log.warning("%s: too many events wait: newer ones are lost", self._broker.shown)
            self.refused += 1

    def close(self, *, failed: bool = False) -> None:
        """Say that nobody watches any more, and wait for what is not acknowledged.

        Raises OutputError where events are left, unless something `failed` already.
        """
        told = self._publish(self._broker.status, OFFLINE, keep=True)
        with self._changed:
            self._changed.wait_for(lambda: self._sent == self._acknowledged, self._patience)
        self._client.disconnect()
        self._client.loop_stop()
        lost = max(self.waiting - told, 0) + self.refused  # the status is no event
        if lost and not failed:
            raise OutputError(
                f"{self._broker.shown}: {lost} events were not acknowledged by the broker",
                mend="they were printed all the same",
                option="mqtt",
            )

    def _connect(self) -> None:
        """The first connection. Raises OutputError where the broker is not there or refuses."""
        broker = self._broker
        try:
            self._client.connect(broker.host, broker.port, keepalive=KEEPALIVE)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OutputError(f"{broker.shown}: {reason}", option="mqtt") from error
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None, self._patience)
            answer = "no answer" if self._answer is None else self._answer
        if answer:
            self._client.disconnect()
            self._client.loop_stop()
            raise OutputError(
                f"{broker.shown}: the broker refuses: {answer}",
                mend="VISAVIS_MQTT_USER and VISAVIS_MQTT_PASSWORD say who logs in",
                option="mqtt",
            )

    def _publish(self, topic: str, text: str, *, keep: bool = False) -> bool:
        """Hand over a message, now or when the broker is back; whether there was room for it."""
        from paho.mqtt.client import MQTT_ERR_QUEUE_SIZE

        with self._changed:
            self._sent += 1
        sent = self._client.publish(topic, text, qos=1, retain=keep)
        if sent.rc == MQTT_ERR_QUEUE_SIZE:
            with self._changed:
                self._sent -= 1
            return False
        return True

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, more: Any) -> None:
        with self._changed:
            self._answer = str(reason) if reason.is_failure else ""
            self._changed.notify_all()
        if not reason.is_failure:
            self._publish(self._broker.status, ONLINE, keep=True)

    def _published(self, client: Any, data: Any, number: int, reason: Any, more: Any) -> None:
        with self._changed:
            self._acknowledged += 1
            self._changed.notify_all()

    def _disconnected(self, client: Any, data: Any, flags: Any, reason: Any, more: Any) -> None:
        if reason.is_failure:
            log.warning("%s: lost (%s); events wait until it is back", self._broker.shown, reason)


@contextmanager
def mqtt_sink(broker: Broker | None) -> Iterator[Callable[[Event], None]]:
    """What publishes events at a broker; nothing without one."""
    if broker is None:
        yield lambda event: None
        return
    sink = MqttSink(broker)
    try:
        yield sink
    except BaseException:
        sink.close(failed=True)
        raise
    sink.close()


def _client(broker: Broker, most: int) -> Any:
    need("paho", extras="mqtt")
    from paho.mqtt.client import CallbackAPIVersion, Client

    client = Client(CallbackAPIVersion.VERSION2, client_id=f"visavis-{secrets.token_hex(8)}")
    client.max_queued_messages_set(most)
    client.reconnect_delay_set(FASTEST, SLOWEST)
    client.will_set(broker.status, OFFLINE, qos=1, retain=True)
    if broker.user or broker.password:
        client.username_pw_set(broker.user, broker.password)
    if broker.tls:
        client.tls_set_context(ssl.create_default_context())
    return client
