"""Programs that try to get out of the sandbox, or to hurt the worker from inside. Standard library only.

Each is Python source. It may use ``A`` (facts about the worker that a real attacker would have to guess) and calls
``escaped(…)`` where it got what it should not get; an OSError, MemoryError or any other end is a failed attack.
``python -m tests.engine.sandbox.attacks LEVEL`` runs them all and prints those that worked: for users without pytest.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.sandbox.process import python, run
from engine.sandbox.types import MIB, Ending, Level, Limits, Result, Task

PRELUDE = """
import json, os, sys
A = json.loads(os.read(3, 65536))
def escaped(*what):
    print("ESCAPED", *what, flush=True)
    os._exit(0)
def libc():
    import ctypes
    return ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    import ctypes
    result = libc().syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result >= 0:
        escaped(number, result)
"""


@dataclass(frozen=True, slots=True)
class Attack:
    source: str
    ending: Ending = "exited"  # how the program must end
    seconds: float = 10.0
    processes: int = 1


def _numbered(x86_64: int, aarch64: int) -> int:
    return x86_64 if os.uname().machine == "x86_64" else aarch64


FILES = {
    "read /etc/shadow": "escaped(open('/etc/shadow').read())",
    "read a file of the worker": "escaped(open(A['canary']).read())",
    "list a folder of the worker": "escaped(os.listdir(A['folder']))",
    "read the worker's source": "escaped(open(A['source']).read())",
    "read the worker's environment": "escaped(open(f\"/proc/{A['pid']}/environ\", 'rb').read())",
    "read the worker's memory": "escaped(open(f\"/proc/{A['pid']}/mem\", 'rb').read(1))",
    "through /proc/1/root": "escaped(os.listdir('/proc/1/root'))",
    "through the worker's working directory": "escaped(os.listdir(f\"/proc/{A['pid']}/cwd\"))",
    "write beside the worker's files": "open(A['folder'] + '/new', 'w').write('x'); escaped()",
    "overwrite a file": "open(A['canary'], 'w').write('x'); escaped()",
    "append to a file": "os.write(os.open(A['canary'], os.O_WRONLY | os.O_APPEND), b'x'); escaped()",
    "truncate a file": "os.truncate(A['canary'], 0); escaped()",
    "truncate by opening": "os.open(A['canary'], os.O_RDONLY | os.O_TRUNC); escaped()",
    "delete a file": "os.unlink(A['canary']); escaped()",
    "rename a file": "os.rename(A['canary'], A['canary'] + '2'); escaped()",
    "open up a mode": "os.chmod(A['canary'], 0o777); escaped()",
    "change times": "os.utime(A['canary'], (0, 0)); escaped()",
    "change an owner": "os.chown(A['canary'], os.getuid(), os.getgid()); escaped()",
    "symlink out of the home": "os.symlink(A['canary'], 'link'); escaped(open('link').read())",
    "hard link into the home": "os.link(A['canary'], 'link'); escaped(open('link').read())",
    "dots": "escaped(open('/tmp/../../..' + A['canary']).read())",
    "chroot and dots": "os.mkdir('d'); os.chroot('d'); escaped(open('../../../..' + A['canary']).read())",
    "change the system": "open('/usr/bin/canopy-attack', 'w').write('x'); escaped()",
    "change Python": "open(os.__file__, 'a').write('x'); escaped()",
    "make a disk device": "os.mknod('disk', 0o60600, os.makedev(254, 0)); escaped(os.open('disk', os.O_RDONLY))",
    "read kernel memory": "escaped(os.open('/dev/mem', os.O_RDONLY))",
    "read the kernel log": "escaped(os.open('/dev/kmsg', os.O_RDONLY))",
    "open a file by its handle": f"call({_numbered(304, 265)}, -100, 0, 0)",
    "read /sys": "escaped(os.listdir('/sys/class'))",
    "read /run": "escaped(os.listdir('/run'))",
    "fill the disk": """
total = 0
for number in range(10_000):
    with open(f'file{number}', 'wb', buffering=0) as file:
        for _ in range(64):
            total += file.write(bytes(65536))
    if total > A['disk'] + 1_000_000:
        escaped(total)
""",
    "use up the inodes": """
for number in range(50_000):
    open(f'file{number}', 'w').close()
escaped()
""",
    "one huge file": "file = open('big', 'wb'); file.truncate(2 * A['disk']); escaped()",
}

NETWORK = {
    "connect out": "import socket; socket.create_connection(('127.0.0.1', A['port']), 2); escaped()",
    "send a datagram": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9));"
    " escaped()",
    "listen": "import socket; s = socket.socket(); s.bind(('', 0)); s.listen(); escaped()",
    "connect over IPv6": "import socket; socket.socket(socket.AF_INET6).bind(('::', 0)); escaped()",
    "raw packets": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW); escaped()",
    "the broker's socket": "import socket; socket.socket(socket.AF_UNIX).connect(A['socket']); escaped()",
    "an abstract socket": "import socket; socket.socket(socket.AF_UNIX).connect('\\0' + A['abstract']); escaped()",
    "netlink": "import socket; socket.socket(16, socket.SOCK_RAW, 0); escaped()",
    "the hypervisor's socket": "import socket; socket.socket(40, socket.SOCK_STREAM); escaped()",
}

PROCESSES = {
    "signal the worker": "os.kill(A['pid'], 23); escaped()",
    "signal the parent": "os.kill(os.getppid(), 9) if os.getppid() > 1 else os.kill(A['pid'], 0); escaped()",
    "signal everyone": "os.kill(-1, 23)",  # returns 0 even when nobody could be reached; the worker would notice
    "signal through a descriptor's owner": """
import fcntl, socket
a, b = socket.socketpair()
fcntl.fcntl(a, fcntl.F_SETOWN, A['pid'])
if fcntl.fcntl(a, fcntl.F_GETOWN) == A['pid']:
    escaped()
""",
    "outlive the worker": f"call({_numbered(157, 167)}, 1, 0, 0, 0, 0)",
    "hold up the worker's files": "import fcntl; fcntl.fcntl(os.open(os.__file__, 0), 1024, 1); escaped()",
    "a descriptor of the worker": f"call({_numbered(434, 434)}, A['pid'], 0)",
    "fork": """
if os.fork() == 0:
    os._exit(0)
escaped()
""",
    "fork by clone": f"call({_numbered(56, 220)}, 17, 0, 0, 0, 0)",
    "thread bomb": """
import threading, time
threading.stack_size(65536)
for _ in range(1000):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
escaped()
""",
    "trace the worker": f"call({_numbered(101, 117)}, 16, A['pid'], 0, 0)",
    "be traced": f"call({_numbered(101, 117)}, 0, 0, 0, 0)",
    "read another's memory": f"call({_numbered(310, 270)}, A['pid'], 0, 0, 0, 0, 0)",
    "lower the worker's limits": "import resource; resource.prlimit(A['pid'], 7, (3, 3)); escaped()",
    "slow the worker down": "os.setpriority(os.PRIO_PROCESS, A['pid'], 19); escaped()",
    "pin the worker to a core": "os.sched_setaffinity(A['pid'], {0}); escaped()",
    "raise own limits": "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**50, 2**50)); escaped()",
}

KERNEL = {
    "become root": "os.setuid(0); escaped()",
    "run a setuid program": "os.execv('/usr/bin/su', ['su', '-c', 'echo ESCAPED'])",
    "mount": "r = libc().mount(b'x', b'/tmp', b'tmpfs', 0, None); r or escaped()",
    "unmount": "r = libc().umount2(b'/tmp', 2); r or escaped()",
    "a user namespace of its own": "r = libc().unshare(0x10000000); r or escaped()",
    "a user namespace by clone": f"call({_numbered(56, 220)}, 0x10000000 | 17, 0, 0, 0, 0)",
    "the worker's namespaces": "fd = os.open(f\"/proc/{A['pid']}/ns/mnt\", 0); libc().setns(fd, 0) or escaped()",
    "io_uring": f"call({_numbered(425, 425)}, 8, b'\\0' * 120)",
    "a keyring": f"call({_numbered(250, 219)}, 0, -3, 1)",
    "add a key": f"call({_numbered(248, 217)}, b'user', b'k', b'v', 1, -3)",
    "performance counters": f"call({_numbered(298, 241)}, b'\\0' * 128, 0, -1, -1, 0)",
    "bpf": f"call({_numbered(321, 280)}, 0, b'\\0' * 72, 72)",
    "userfaultfd": f"call({_numbered(323, 282)}, 1)",
    "a file without a file system": f"call({_numbered(319, 279)}, b'x', 0)",
    "load a module": f"call({_numbered(313, 273)}, 0, b'', 0)",
    "another personality": f"call({_numbered(135, 92)}, 0x0040000)",
    "set the clock": "import time; time.clock_settime(time.CLOCK_REALTIME, 0); escaped()",
    "rename the host": "import socket; socket.sethostname('x'); escaped()",
    "shared memory": f"call({_numbered(29, 194)}, 0, 4096, 0o1600)",
    "a message queue": f"call({_numbered(240, 180)}, b'/x', 0o102, 0o600, 0)",
    "watch the file system": f"call({_numbered(300, 262)}, 0, 0)",
    "the kernel's log": f"call({_numbered(103, 116)}, 3, b' ' * 100, 100)",
    "type into the terminal": """
import fcntl
fd = os.open('/dev/tty', os.O_RDWR)
fcntl.ioctl(fd, 0x5412, b'x')
escaped()
""",
    "the other system call table": """
import ctypes, mmap, platform
if platform.machine() == 'x86_64':
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, 20 (getpid, 32 bits); int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    if ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0:
        escaped()
    call(0x40000000 + 39)
""",
}

RESOURCES = {
    "memory at once": "x = bytearray(2**33); escaped()",
    "memory bit by bit": """
kept = []
while len(kept) < 4096:
    kept.append(b'x' * 2**20)
escaped()
""",
    "a number without end": Attack("x = 9 ** (9 ** 9); escaped()", "timeout", 0.4),
    "sleep": Attack("import time; time.sleep(60)", "timeout", 0.4),
    "spin": Attack("while True: pass", "timeout", 0.4),
    "spin and ignore signals": Attack(
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
        "timeout",
        0.4,
    ),
    "stop itself": Attack(
        "import signal; signal.raise_signal(signal.SIGSTOP); import time; time.sleep(60)", "timeout", 0.4
    ),
    "flood stdout": Attack("while True: print('y' * 1000)", "output"),
    "flood stderr": Attack("while True: sys.stderr.write('y' * 1000)", "output"),
    "one endless line": Attack("while True: sys.stdout.write('y' * 65536)", "output"),
    "NUL bytes and no text": "sys.stdout.buffer.write(b'\\0\\xff\\xfe' * 1000)",
    "close everything and wait": Attack("os.closerange(0, 1000)\nwhile True: pass", "timeout", 0.4),
    "crash the interpreter": "import ctypes; ctypes.string_at(0)",
}

SECRETS = {
    "environment secrets": "'secret' in str(os.environ) and escaped()",
    "descriptors of the worker": """
for fd in range(4, 1024):
    try:
        os.fstat(fd)
    except OSError:
        continue
    escaped(fd)
""",
    "write into the question": "os.write(3, b'x'); escaped()",
    "write into the input": "os.write(0, b'x'); escaped()",
    "the status line": "[os.write(fd, b'ended 0\\n') and escaped() for fd in range(4, 300)]",
    "import the worker's packages": "import engine; escaped()",
    "preload a library into what comes next": """
open('evil.so', 'wb').write(b'x')
os.environ['LD_PRELOAD'] = os.path.abspath('evil.so')
os.execv(sys.executable, [sys.executable, '-c', 'import os; os.path.exists("/etc/shadow") and print("ESCAPED")'])
""",
    "import site packages": "import numpy; escaped()",
    "hidden tests in other files": "escaped(*[open(os.path.join(A['folder'], name)).read() for name in os.listdir('..')"
    " if 'canary' in name])",
}

# Only where processes are allowed at all.
FAMILIES = {
    "fork bomb": Attack(
        """
import time
for _ in range(500):
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    except OSError:
        sys.exit()
escaped()
""",
        processes=8,
    ),
    "daemon": Attack(
        """
import time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(60)
    os._exit(0)
""",
        processes=8,
    ),
    "memory of many": Attack(
        """
import time
for _ in range(6):
    if os.fork() == 0:
        kept = b'x' * (60 * 2**20)
        time.sleep(60)
time.sleep(60)
""",
        "memory",
        processes=8,
    ),
    "kill init": Attack("os.kill(1, 9); import time; time.sleep(0.1); os.kill(1, 0) and None", processes=8),
    "interrupt init": Attack("import time\nfor n in (2, 3, 15, 17, 19): os.kill(1, n)\ntime.sleep(0.1)", processes=8),
    "trace init": Attack(f"call({_numbered(101, 117)}, 16, 1, 0, 0)", processes=8),
    "hold the pipe": Attack("import time\nif os.fork() == 0: time.sleep(60)", processes=8),
}


def attacks(level: Level) -> dict[str, Attack]:
    """All that can be tried at ``level``, by name."""
    families = FAMILIES if level == Level.ISOLATED else {}
    every: dict[str, str | Attack] = {**FILES, **NETWORK, **PROCESSES, **KERNEL, **RESOURCES, **SECRETS, **families}
    return {name: each if isinstance(each, Attack) else Attack(each) for name, each in every.items()}


@dataclass(slots=True)
class Victim:
    """What is attacked: a worker's files, sockets, environment."""

    facts: dict[str, Any]
    listener: socket.socket
    canary: Path
    signals: list[int]

    def wounds(self, result: Result, attack: Attack, mark: str) -> str:
        """What the attack achieved; empty when nothing."""
        if b"ESCAPED" in result.stdout:
            return result.stdout.decode(errors="replace")[-300:]
        if result.ending != attack.ending:
            return f"ended by {result.ending}, not {attack.ending}: {result.stderr[-300:]!r}"
        if result.seconds > attack.seconds + 5:
            return f"ran for {result.seconds:.1f} s"
        if max(len(result.stdout), len(result.stderr)) > LIMITS.output:
            return "more output than allowed"
        if self.canary.read_text() != "secret" or self.canary.stat().st_mode & 0o777 != 0o666:
            return "the canary was changed"
        if {entry.name for entry in self.canary.parent.iterdir()} != {"canary", "socket"}:
            return "something was left in the worker's folder"
        if self.signals:
            return "the worker got a signal"
        with contextlib.suppress(BlockingIOError):
            self.listener.accept()
            return "somebody connected"
        return "" if not left_over(mark) else "a process was left behind"


LIMITS = Limits(memory=256 * MIB, output=256 * 1024, disk=8 * MIB)


def left_over(mark: str) -> list[int]:
    """Processes that have ``mark`` on their command line and are no corpses."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


@contextlib.contextmanager
def victim() -> Iterator[Victim]:
    with tempfile.TemporaryDirectory(prefix="canopy-victim-") as name, socket.socket() as listener:
        folder = Path(name)
        folder.chmod(0o777)  # so that only the sandbox is in the way
        canary = folder / "canary"
        canary.write_text("secret")
        canary.chmod(0o666)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        with socket.socket(socket.AF_UNIX) as broker, socket.socket(socket.AF_UNIX) as abstract:
            broker.bind(f"{name}/socket")
            broker.listen()
            os.chmod(f"{name}/socket", 0o777)  # noqa: PTH101
            nobody_else = f"canopy-{secrets.token_hex(8)}"
            abstract.bind(f"\0{nobody_else}")
            abstract.listen()
            os.environ["CANOPY_TEST_SECRET"] = "secret"
            signals: list[int] = []
            # SIGURG (23): nobody else minds it, should an attack succeed.
            before = signal.signal(signal.SIGURG, lambda number, _: signals.append(number))
            try:
                facts = {
                    "canary": str(canary),
                    "folder": name,
                    "source": str(Path(__file__).resolve()),
                    "pid": os.getpid(),
                    "port": listener.getsockname()[1],
                    "socket": f"{name}/socket",
                    "abstract": nobody_else,
                    "disk": LIMITS.disk,
                }
                yield Victim(facts, listener, canary, signals)
            finally:
                signal.signal(signal.SIGURG, before)
                del os.environ["CANOPY_TEST_SECRET"]


def strike(target: Victim, attack: Attack, level: Level) -> str:
    """Run one attack; what it achieved, empty when nothing."""
    mark = f"mark-{secrets.token_hex(8)}"
    task = Task(
        python("-c", f"{PRELUDE}\n{attack.source}", mark),
        payload=json.dumps(target.facts).encode(),
        limits=Limits(attack.seconds, LIMITS.memory, LIMITS.output, LIMITS.disk, attack.processes),
    )
    return target.wounds(run(task, level), attack, mark)


def main() -> None:
    level = Level[sys.argv[1]]
    with victim() as target, ThreadPoolExecutor(3) as pool:
        todo = attacks(level)
        wounds = dict(zip(todo, pool.map(lambda attack: strike(target, attack, level), todo.values()), strict=True))
    print(json.dumps({"tried": len(todo), "worked": {name: wound for name, wound in wounds.items() if wound}}))


if __name__ == "__main__":
    main()
