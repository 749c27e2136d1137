"""A Postgres of a test's own, in a temporary directory and on a free port; skips where there is none."""

import asyncio
import contextlib
import os
import pwd
import shutil
import tempfile
from pathlib import Path

import pytest
from support.redis_server import free_port


def program(name):
    """Return where a program of Postgres is. Debian has them in a folder for each version, and not on the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or (versions[-1] if versions else None)
    if found is None:
        pytest.skip(f"there is no {name} here (Debian: postgresql)")
    return str(found)


def account():
    """Postgres does not run as root: then its own account does it."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("Postgres does not run as root, and there is no account postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Postgres:
    """A server that runs; `environment` is what leads libpq to it."""

    def __init__(self, directory, owner):
        self._directory, self._owner = directory, owner
        port = free_port()
        self.environment = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGDATABASE": "postgres"}
        self.conninfo = f"host=127.0.0.1 port={port} user=postgres dbname=postgres"

    async def start(self):
        await self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        with (self._directory / "postgresql.conf").open("a") as settings:
            where = f"listen_addresses = '127.0.0.1'\nport = {self.environment['PGPORT']}\n"
            settings.write(f"{where}unix_socket_directories = '{self._directory}'\nfsync = off\n")
        await self._run("pg_ctl", "--wait", f"--log={self._directory / 'log'}", "start")

    async def restart(self):
        """Let it die without a word to its clients, and come back by its journal."""
        await self._run("pg_ctl", "--wait", "--mode=immediate", f"--log={self._directory / 'log'}", "restart")

    async def stop(self):
        await self._run("pg_ctl", "--wait", "--mode=immediate", "stop")

    async def _run(self, name, *options):
        # Into a file: the server inherits what its starter writes to, and a pipe would have no end.
        with tempfile.TemporaryFile() as said:
            command = [program(name), f"--pgdata={self._directory}", *options]
            environment = {"PATH": os.defpath, "LC_ALL": "C"}
            child = await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                cwd=self._directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                **self._owner,
            )
            code = await child.wait()
            said.seek(0)
            assert code == 0, said.read().decode()


@contextlib.asynccontextmanager
async def postgres():
    owner = account()
    program("initdb")
    # Not pytest's own directory: that is closed to every other account.
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        directory = Path(name)
        if owner:
            os.chown(directory, owner["user"], owner["group"])
        server = Postgres(directory, owner)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()
