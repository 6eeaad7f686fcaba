"""Where the servers of one data folder keep their files, and as whom they run."""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.errors import SteelyardError

SOCKET_FOLDER_MAX: Final = 90  # a socket's path stays below 107 bytes, and PostgreSQL adds 14
OUTSIDE: Final = Path("/var/lib/steelyard")  # root's data, where `nobody` cannot reach the data folder


class EmbeddedError(SteelyardError):
    """An embedded server cannot be found, started or reached."""

    code = "EMBEDDED"


@dataclass(frozen=True)
class Place:
    """Where the servers of one data folder keep their files, and as whom they run."""

    root: Path
    sockets: Path
    user: pwd.struct_passwd | None  # None: as this process

    @classmethod
    def of(cls, data_dir: Path) -> "Place":
        try:
            root = data_dir.resolve()
            root.mkdir(parents=True, exist_ok=True)
            # PostgreSQL refuses to run as root.
            user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
            digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
            if user and not open_to_all(root):
                root = OUTSIDE / digest
                root.mkdir(parents=True, exist_ok=True)
        except (OSError, KeyError) as error:
            raise EmbeddedError(f"the data folder {data_dir} cannot be used: {error}") from None
        sockets = root / "run"
        if len(os.fsencode(sockets)) > SOCKET_FOLDER_MAX or urllib.parse.quote(str(sockets)) != str(sockets):
            sockets = Path(f"/tmp/steelyard-{os.geteuid()}-{digest}")  # noqa: S108 - refused where it is not ours
        return cls(root, sockets, user)

    def private(self, folder: Path) -> Path:
        """Make `folder` if need be, and close it to everybody but the servers' user."""
        owner = self.user.pw_uid if self.user else os.geteuid()
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.geteuid() != owner:
            os.chown(folder, owner, -1, follow_symlinks=False)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
            raise EmbeddedError(f"{folder} belongs to another user; remove it, or choose another data folder")
        folder.chmod(0o700)
        return folder

    def within_reach(self, package: Path) -> Path:
        """Return `package`, or a copy of it and its libraries where the servers' user cannot reach it."""
        if self.user is None or open_to_all(package):
            return package
        copy = self.root / "programs" / f"{package.name}-{version(package.name)}"
        if not copy.exists():
            for old in copy.parent.glob(f"{package.name}-*"):
                shutil.rmtree(old)
            new = copy.with_name(f"{copy.name}.new")
            for part in (package, package.with_name(f"{package.name}.libs")):
                if part.exists():
                    shutil.copytree(part, new / part.name, symlinks=True, ignore=shutil.ignore_patterns("*.py*"))
            for path in (new.parent, new, *new.rglob("*")):
                path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
            new.rename(copy)
        return copy / package.name


def open_to_all(path: Path) -> bool:
    """Say whether a user without rights of its own gets to `path`."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def package(name: str) -> Path | None:
    """Find the folder of an installed package without importing it."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None


def version(name: str) -> str:
    return importlib.metadata.version(name.replace("_", "-"))
