"""The filter's numbers against the kernel's own headers, and its logic by interpreting it."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from engine.sandbox import seccomp
from engine.sandbox.seccomp import program

HEADERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), r"#define __NR_(\w+) (\d+)"),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"), r"#define __NR(?:3264)?_(\w+) (\d+)"),
}
# What aarch64 calls otherwise in the generic table.
ALIASES = {"newfstatat": "fstatat"}
ALLOW, EPERM, ENOSYS, ENOTTY, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x00050019, 0x80000000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def decide(code: list[seccomp.Instruction], number: int, *arguments: int, architecture: int = AUDIT["x86_64"]) -> int:
    """What the kernel would answer: a classic BPF interpreter of the six instructions in use."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    accumulator, at = 0, 0
    while True:
        operation, yes, no, operand = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x06:
            return operand
        else:
            taken = accumulator == operand if operation == 0x15 else accumulator >= operand
            at += yes if taken else no


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_the_kernels(machine: str) -> None:
    header, pattern = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    known = {name: int(number) for name, number in re.findall(pattern, header.read_text())}
    column = 0 if machine == "x86_64" else 1
    for table in (seccomp._ALWAYS, seccomp._CHANGES, seccomp._CHECKED):
        for name, number in seccomp._numbers(table, column).items():
            alias = ALIASES.get(name, name) if machine == "aarch64" else name
            assert known.get(alias, known.get(name)) == number, name


def test_a_strict_program() -> None:
    code = program("x86_64", writing=False, forking=False, signalling=False)
    answers = {
        (0,): ALLOW,  # read
        (41,): EPERM,  # socket
        (101,): EPERM,  # ptrace
        (435,): ENOSYS,  # clone3
        (257, -100 & 0xFFFFFFFF, 0, 0o2000000): ALLOW,  # openat(O_RDONLY | O_CLOEXEC)
        (257, 0, 0, 1): EPERM,  # openat(O_WRONLY)
        (257, 0, 0, 0o1000): EPERM,  # openat(O_RDONLY | O_TRUNC)
        (2, 0, 0o100): EPERM,  # open(O_CREAT)
        (90,): EPERM,  # chmod
        (56, 17): EPERM,  # clone for a process
        (56, 0x003D0F00): ALLOW,  # clone for a thread, as glibc does
        (56, 0x10000000 | 0x003D0F00): EPERM,  # a thread in a new user namespace
        (57,): EPERM,  # fork
        (62, 1, 9): EPERM,  # kill
        (16, 0, 0x5401): ALLOW,  # ioctl(TCGETS)
        (16, 0, 0x5412): ENOTTY,  # ioctl(TIOCSTI)
        (72, 0, 8): EPERM,  # fcntl(F_SETOWN)
        (72, 0, 1): ALLOW,  # fcntl(F_GETFD)
        (157, 15): ALLOW,  # prctl(PR_SET_NAME)
        (157, 22): EPERM,  # prctl(PR_SET_SECCOMP)
        (157, 1): EPERM,  # prctl(PR_SET_PDEATHSIG)
        (72, 0, 1024): EPERM,  # fcntl(F_SETLEASE)
        (302, 0): ALLOW,  # prlimit(itself)
        (302, 1): EPERM,
        (53, 1): ALLOW,  # socketpair(AF_UNIX)
        (53, 2): EPERM,
        (0x40000000,): EPERM,  # x32
        (9999,): EPERM,  # a call of the future
    }
    assert {call: decide(code, *call) for call in answers} == answers
    assert decide(code, 0, architecture=0x40000003) == KILL  # the 32-bit table


def test_what_the_looser_settings_add() -> None:
    code = program("x86_64", writing=True, forking=True, signalling=True)
    assert {decide(code, *call) for call in [(257, 0, 0, 0o101), (90,), (56, 17), (57,), (62, 1, 9)]} == {ALLOW}
    assert decide(code, 56, 0x10000000 | 17) == EPERM


@pytest.mark.parametrize("forking", [False, True])
@pytest.mark.parametrize("machine", HEADERS)
def test_jumps_stay_inside_and_the_kernels_bound_holds(machine: str, forking: bool) -> None:
    code = program(machine, writing=True, forking=forking, signalling=True)
    assert len(code) < 4096
    for at, (operation, yes, no, _) in enumerate(code):
        assert operation == 0x06 or at + 1 + max(yes, no) < len(code)
        assert max(yes, no) < 256
