"""The simulator's control port: what its phones show, and texts from them. For the machine it runs on only.

One JSON object a line each way, on 127.0.0.1 and nowhere else:

    {"do": "messages", "phone": "+61400001000"}   ->  {"messages": [...]}, each as smpp.phones.PhoneMessage
    {"do": "phones"}                              ->  {"phones": [...]}, those last written to, latest first
    {"do": "text", "phone": …, "to": …, "text": …} ->  {"id": …}, once it cannot be lost any more
    anything else                                 ->  {"error": "a sentence"}, and the connection is closed

It is no HTTP on purpose: what a page in the developer's browser could send here by itself is refused at its first line.
"""

import asyncio
import json
import re
import socket
from typing import Any, Final

from smpp.link import logger
from smpp.phones import Phones
from smpp.text import TextTooLong
from smpp.texting import Texting, TooManyTexts

HOST: Final = "127.0.0.1"
MAX_LINE: Final = 256 * 1024  # octets
LATEST_PHONES: Final = 20

_NUMBER = re.compile(r"\+?[0-9]{3,15}")


class ControlError(Exception):
    """The simulator did not do what was asked; the text is a sentence for the person who asked."""


class NoSimulator(ControlError):
    """Nothing answers at the control port."""


class ControlPort:
    """Listens for commands. `port` 0 takes a free one."""

    def __init__(self, port: int, phones: Phones, texting: Texting) -> None:
        self._wanted = port
        self._phones = phones
        self._texting = texting
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on; 0 while it does not."""
        return self._listener.sockets[0].getsockname()[1] if self._listener and self._listener.sockets else 0

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        self._listener = await asyncio.start_server(self._serve, HOST, self._wanted, limit=MAX_LINE)

    def stop(self) -> None:
        """Take no more commands."""
        if self._listener is not None:
            self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
                if "error" in answer:
                    return
        except (ValueError, OSError) as error:  # ValueError: a line beyond the limit
            logger.warning("control port: connection ended: %s", error)
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            return self._do(json.loads(line))
        except ControlError as error:
            return {"error": str(error)}
        except (ValueError, TypeError, AttributeError, KeyError):
            return {"error": "This is no command; see smpp/control.py."}

    def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        name = command["do"]
        if name == "messages":
            return {"messages": self._phones.messages(_number(command["phone"]))}
        if name == "phones":
            return {"phones": self._phones.latest(LATEST_PHONES)}
        if name == "text":
            return {"id": self._text(_number(command["phone"]), _number(command["to"]), command["text"])}
        raise ControlError(f"There is no command {name!r}; there are messages, phones and text.")

    def _text(self, phone: str, number: str, text: Any) -> str:
        if not isinstance(text, str) or not text:
            raise ControlError("Enter the text of the message.")
        try:
            return self._texting.send(phone, number, text)
        except (TextTooLong, TooManyTexts) as error:
            raise ControlError(str(error)) from error
        except OSError as error:
            logger.exception("the journal cannot be written")
            raise ControlError("The simulator's journal cannot be written, so the text was not sent.") from error


def _number(value: Any) -> str:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise ControlError(f"{str(value)[:40]!r} is no number: write digits only, with + for an international one.")
    return value


def ask(port: int, timeout: float = 3.0, **command: Any) -> dict[str, Any]:
    """Have a simulator on this machine do something: ``ask(port, do="phones")["phones"]``. `timeout` in seconds.

    Raises NoSimulator when nothing answers, ControlError with its sentence when it refuses.
    """
    try:
        with socket.create_connection((HOST, port), timeout=timeout) as connection:
            connection.sendall(json.dumps(command).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        raise NoSimulator(f"The simulator does not answer on port {port}: {error}") from error
    if "error" in answer:
        raise ControlError(answer["error"])
    return dict(answer)
