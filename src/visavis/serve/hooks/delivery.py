"""Takes events to webhooks, one at a time for each, until the other side has them.

An event is sent at least once: who is stopped between the answer and its note sends it again, with
the same id. What nobody takes is tried for three days, less and less often.
"""

import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event, Lock, Thread
from time import monotonic

from visavis.errors import VisavisError
from visavis.hub.web import offline
from visavis.posts import AGAIN, Post, Posted, Unreachable, signed_headers
from visavis.serve.hooks.outbox import Outbox, WaitingEvent
from visavis.serve.hooks.webhooks import GONE, Webhook, Webhooks

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between two looks at what other processes did
PAUSE, LONGEST = 5.0, 3600.0  # seconds after the first failure, doubled after each; the longest
STOPPING = 5.0  # seconds that what is being sent has to end in
TAKEN_AWAY = 410


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of the last try at a webhook: a status, or why there is none."""

    status: int | None
    reason: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the other side has it."""
        return self.status is not None and 200 <= self.status < 300


class Delivery:
    """Sends what is in the outbox."""

    def __init__(
        self, hooks: Webhooks, outbox: Outbox, post: Post, *, pause: float = PAUSE
    ) -> None:
        """`pause` is how many seconds the first failure is waited for."""
        self._hooks, self._outbox, self._post, self._pause = hooks, outbox, post, pause
        self._stopping, self._woken = Event(), Event()
        self._lock = Lock()
        self._working: dict[str, Thread] = {}
        self._rests: dict[str, float] = {}  # until when a webhook that failed is left alone
        self._failures: dict[str, int] = {}  # in a row
        self._last: dict[str, Attempt] = {}
        self._thread = Thread(target=self._run, name="visavis-webhooks", daemon=True)

    def start(self) -> None:
        """Begin, with what waited when the service was stopped."""
        self._thread.start()

    def close(self) -> None:
        """Send nothing more; what waits is sent after the next start."""
        self._stopping.set()
        self._woken.set()
        end = monotonic() + STOPPING
        threads = [*self._working.values(), *([self._thread] if self._thread.is_alive() else [])]
        for thread in threads:
            thread.join(max(0.0, end - monotonic()))

    def wake(self) -> None:
        """Look now: something was put into the outbox."""
        self._woken.set()

    def last(self, hook: str) -> Attempt | None:
        """The last try at a webhook since the start; None for none."""
        return self._last.get(hook)

    def test(self, hook: Webhook) -> Attempt:
        """Send a webhook an event that says it is a test."""
        document = {"id": secrets.token_hex(16), "event": "test", "webhook": hook.id}
        return self._send(hook, document)[0]

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._look()
            except VisavisError as error:
                log.error("webhooks: %s: %s", error.code, error.what)
            self._woken.wait(POLL)

    def _look(self) -> None:
        """Let each webhook that has something waiting be told of it, beside the others."""
        if offline():
            return
        for hook in self._hooks.all():
            if hook.off:
                continue
            self._outbox.collect(hook)
            with self._lock:
                busy = hook.id in self._working
                rests = self._rests.get(hook.id, 0.0) > monotonic()
            if not busy and not rests and self._outbox.next(hook) is not None:
                thread = Thread(target=self._tell, args=[hook], daemon=True)
                with self._lock:
                    self._working[hook.id] = thread
                thread.start()

    def _tell(self, hook: Webhook) -> None:
        """Send what is due, until that fails, or the webhook is gone or another one."""
        try:
            while not self._stopping.is_set() and hook in self._hooks.all():
                waiting = self._outbox.next(hook)
                if waiting is None or not self._told(hook, waiting):
                    return
        except VisavisError as error:
            log.error("webhook %s: %s: %s", hook.id, error.code, error.what)
        finally:
            with self._lock:
                self._working.pop(hook.id, None)

    def _told(self, hook: Webhook, waiting: WaitingEvent) -> bool:
        """Whether to go on with the next one."""
        attempt, asked = self._send(hook, self._outbox.document(waiting.event))
        if attempt.delivered:
            self._outbox.done(waiting.number)
            self._failures.pop(hook.id, None)
            return True
        if attempt.status == TAKEN_AWAY:
            self._hooks.switch_off(hook.id, GONE)
            self._outbox.clear(hook.id)
            return False
        self._outbox.later(waiting.number, self._wait(waiting.tries, asked))
        if attempt.status is not None and attempt.status not in AGAIN:
            return True  # it is about this one event: the others are not held up
        failures = self._failures.get(hook.id, 0)
        self._failures[hook.id] = failures + 1
        self._rests[hook.id] = monotonic() + self._wait(failures, asked)
        return False

    def _wait(self, failures: int, asked: float | None) -> float:
        """Seconds until the next try."""
        own = self._pause * 2.0 ** min(failures, 20)
        return min(LONGEST, own if asked is None else max(asked, self._pause))

    def _send(self, hook: Webhook, document: Mapping[str, object]) -> tuple[Attempt, float | None]:
        """What came of it, and for how many seconds the other side wants to be left alone."""
        data = json.dumps(document, ensure_ascii=False).encode()
        headers = signed_headers(hook.secret, str(document["id"]), data)
        answer: Posted | None = None
        try:
            answer = self._post(hook.url, data, headers)
            attempt = Attempt(answer.status)
        except Unreachable as error:
            attempt = Attempt(None, str(error))
        self._last[hook.id] = attempt
        if not attempt.delivered:
            log.warning("webhook %s: %s", hook.id, attempt.status or attempt.reason)
        return attempt, answer.retry_after if answer else None
