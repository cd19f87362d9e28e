"""The HTTP side of Telegram, as far as a bot in one chat needs it: https://core.telegram.org/bots/api."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import attrs

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
CHAT = 4242


@attrs.define
class Telegram:
    """Messages in both directions. Everything in ``sent`` was accepted."""

    sent: list[str] = attrs.field(factory=list)
    refusals: int = 0
    """How many of the next messages of the bot are refused."""
    _updates: list[dict[str, Any]] = attrs.field(factory=list)
    _number: int = 0
    _changed: threading.Condition = attrs.field(factory=threading.Condition)

    def say(self, text: str, chat: int = CHAT) -> None:
        """Write *text* in a chat with the bot."""
        with self._changed:
            self._number += 1
            message = self._message(text, chat)
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}]
            self._updates.append({"update_id": self._number, "message": message})
            self._changed.notify_all()

    @contextlib.contextmanager
    def served(self) -> Iterator[str]:
        """Serve the API on loopback; yield its URL."""
        handler = type("Handler", (_Handler,), {"telegram": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.block_on_close = False  # of a killed bot, a request may still wait for updates
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def reply(self, method: str, form: dict[str, str]) -> tuple[int, object]:
        """Return the status and the result of a call."""
        match method:
            case "getMe":
                return 200, {"id": 1, "is_bot": True, "first_name": "Bot", "username": "example_bot"}
            case "getUpdates":
                return 200, self._wait_for_updates(int(form.get("offset", 0)), float(form.get("timeout", 0)))
            case "sendMessage" if self.refusals:
                self.refusals -= 1
                return 502, None
            case "sendMessage":
                assert form["parse_mode"] == "HTML"
                with self._changed:
                    self.sent.append(form["text"])
                return 200, self._message(form["text"], int(form["chat_id"]))
            case _:
                return 200, True

    def _message(self, text: str, chat: int) -> dict[str, Any]:
        person = {"id": chat, "is_bot": False, "first_name": "Kim"}
        sender = {"chat": {"id": chat, "type": "private", "first_name": "Kim"}, "from": person}
        return {"message_id": self._number, "date": int(time.time()), "text": text, **sender}

    def _wait_for_updates(self, offset: int, seconds: float) -> list[dict[str, Any]]:
        with self._changed:
            self._updates = [update for update in self._updates if update["update_id"] >= offset]
            self._changed.wait_for(lambda: self._updates, seconds)
            return list(self._updates)


class _Handler(BaseHTTPRequestHandler):
    telegram: Telegram
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
        _, bot, method = self.path.split("/")
        status, result = self.telegram.reply(method, form) if bot == f"bot{TOKEN}" else (401, None)
        body = json.dumps({"ok": status == 200, "result": result, "description": "refused", "error_code": status})
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the bot was killed; it did not confirm the updates
            self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""
