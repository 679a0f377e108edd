"""The seccomp filter: a list of allowed system calls, some by their arguments; all others fail with EPERM.

A list of what is allowed stays right when a kernel brings new calls. Absent on purpose: socket and everything about
networks, ptrace and process_vm_*, mount and namespaces, bpf, perf, io_uring, userfaultfd, keyrings, System V IPC,
memfd_create, pidfd_*, set*id, priorities and affinities (they reach other processes of the same user).

Numbers come from the kernel's tables for x86_64 and aarch64; a test compares them with the system's headers.
"""

from __future__ import annotations

import ctypes
import struct

from engine.sandbox.syscalls import PR_SET_SECCOMP, prctl

# name, number on x86_64, number on aarch64 (a dash: no such call there)
_ALWAYS = """
read 0 63; write 1 64; close 3 57; stat 4 -; fstat 5 80; newfstatat 262 79; lstat 6 -; poll 7 -; ppoll 271 73; lseek
8 62; mmap 9 222; mprotect 10 226; munmap 11 215; brk 12 214; rt_sigaction 13 134; rt_sigprocmask 14 135;
rt_sigreturn 15 139; rt_sigpending 127 136; rt_sigtimedwait 128 137; rt_sigsuspend 130 133; sigaltstack 131 132;
pread64 17 67; pwrite64 18 68; preadv 295 69; pwritev 296 70; preadv2 327 286; pwritev2 328 287; readv 19 65; writev
20 66; access 21 -; faccessat 269 48; faccessat2 439 439; pipe 22 -; pipe2 293 59; select 23 -; pselect6 270 72;
sched_yield 24 124; mremap 25 216; msync 26 227; mincore 27 232; madvise 28 233; membarrier 324 283; dup 32 23; dup2
33 -; dup3 292 24; pause 34 -; nanosleep 35 101; clock_nanosleep 230 115; clock_gettime 228 113; clock_getres 229
114; gettimeofday 96 169; time 201 -; times 100 153; getitimer 36 102; setitimer 38 103; alarm 37 -; timer_create
222 107; timer_settime 223 110; timer_gettime 224 108; timer_getoverrun 225 109; timer_delete 226 111; getpid 39
172; gettid 186 178; getppid 110 173; getuid 102 174; geteuid 107 175; getgid 104 176; getegid 108 177; getresuid
118 148; getresgid 120 150; getgroups 115 158; getpgrp 111 -; getpgid 121 155; getsid 124 156; getcpu 309 168;
sendfile 40 71; splice 275 76; tee 276 77; recvfrom 45 207; sendto 44 206; recvmsg 47 212; sendmsg 46 211; shutdown
48 210; getsockname 51 204; getpeername 52 205; getsockopt 55 209; setsockopt 54 208; execve 59 221; exit 60 93;
exit_group 231 94; wait4 61 260; waitid 247 95; uname 63 160; flock 73 32; getdents 78 -; getdents64 217 61; getcwd
79 17; chdir 80 49; fchdir 81 50; readlink 89 -; readlinkat 267 78; umask 95 166; getrlimit 97 163; setrlimit 160
164; getrusage 98 165; sysinfo 99 179; getpriority 140 141; sched_getparam 143 121; sched_getscheduler 145 120;
sched_getaffinity 204 123; sched_get_priority_max 146 125; sched_get_priority_min 147 126; sched_rr_get_interval 148
127; arch_prctl 158 -; statfs 137 43; fstatfs 138 44; statx 332 291; fadvise64 221 223; readahead 187 213; futex 202
98; futex_waitv 449 449; set_tid_address 218 96; set_robust_list 273 99; get_robust_list 274 100; restart_syscall
219 128; rseq 334 293; epoll_create 213 -; epoll_create1 291 20; epoll_ctl 233 21; epoll_wait 232 -; epoll_pwait 281
22; eventfd 284 -; eventfd2 290 19; getrandom 318 278; close_range 436 436; mlock 149 228; munlock 150 229;
ftruncate 77 46; fsync 74 82; fdatasync 75 83; setpgid 109 154; setsid 112 157
"""
# What changes a file system. Landlock knows nothing of modes and times, so a confined program has none of these.
_CHANGES = """
creat 85 -; truncate 76 45; fallocate 285 47; rename 82 -; renameat 264 38; renameat2 316 276; mkdir 83 -; mkdirat
258 34; rmdir 84 -; link 86 -; linkat 265 37; unlink 87 -; unlinkat 263 35; symlink 88 -; symlinkat 266 36; chmod 90
-; fchmod 91 52; fchmodat 268 53; utime 132 -; utimes 235 -; utimensat 280 88; futimesat 261 -; copy_file_range 326
285; sync_file_range 277 84
"""
# Looked at by their arguments, see ``rules``.
_CHECKED = """
open 2 -; openat 257 56; clone 56 220; fork 57 -; vfork 58 -; socketpair 53 199; ioctl 16 29; fcntl 72 25; prctl 157
167; prlimit64 302 261; kill 62 129; tkill 200 130; tgkill 234 131; clone3 435 435
"""
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # AUDIT_ARCH, column of the tables
_X32_BIT = 0x40000000  # x86_64's second table, with the same calls under other numbers

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS, _ENOTTY = 1, 38, 25
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16
_MODE_FILTER = 2

_CLONE_THREAD = 0x00010000
_CLONE_NEW_ANYTHING = 0x7E020080  # user, pid, net, mount, ipc, uts, cgroup and time namespaces
_O_CHANGING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000  # WRONLY, RDWR, CREAT, TRUNC, TMPFILE without its directory bit
_AF_UNIX = 1
# isatty, window size, bytes waiting, close-on-exec, non-blocking; not TIOCSTI, not FIOSETOWN
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451, 0x5421)
# Owners and signals would send SIGIO to any process of the same user, leases would hold up who opens a file of his.
_FCNTLS_REFUSED = (8, 10, 15, 1024, 1026)  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY
# Get dumpable, set and get name, name a memory area. Not the parent-death signal: it must not be taken back.
_PRCTLS = (3, 15, 16, 0x53564D41)

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def supported(machine: str) -> bool:
    return machine in _ARCHITECTURES


def program(machine: str, *, writing: bool, forking: bool, signalling: bool) -> list[Instruction]:
    """The filter. ``writing``: may change files; ``forking``: may start processes; ``signalling``: kill() is safe,
    because a pid namespace or Landlock keeps signals inside."""
    architecture, column = _ARCHITECTURES[machine]
    code: list[Instruction] = [
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        code += [(_JUMP_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _ERROR | _EPERM)]
    for number in _numbers(_ALWAYS + (";" + _CHANGES if writing else ""), column).values():
        code += _for_call(number, [(_RETURN, 0, 0, _ALLOW)])
    checked = _numbers(_CHECKED, column)
    for name, body in _checks(writing, forking, signalling).items():
        if name in checked:
            code += _for_call(checked[name], body)
    return [*code, (_RETURN, 0, 0, _ERROR | _EPERM)]


def install(code: list[Instruction]) -> None:
    """For this process and its children, for good. Needs PR_SET_NO_NEW_PRIVS."""
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    instructions = ctypes.create_string_buffer(packed, len(packed))
    header = struct.pack("@HP", len(code), ctypes.addressof(instructions))
    buffer = ctypes.create_string_buffer(header, len(header))
    prctl("seccomp", PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(buffer))


def _checks(writing: bool, forking: bool, signalling: bool) -> dict[str, list[Instruction]]:
    """Name of a call -> what decides about it."""
    allow: list[Instruction] = [(_RETURN, 0, 0, _ALLOW)]
    refuse: list[Instruction] = [(_RETURN, 0, 0, _ERROR | _EPERM)]
    signals = allow if signalling else refuse
    return {
        "open": allow if writing else _without_bits(1, _O_CHANGING),
        "openat": allow if writing else _without_bits(2, _O_CHANGING),
        "clone": _without_bits(0, _CLONE_NEW_ANYTHING) if forking else _thread(),
        "fork": allow if forking else refuse,
        "vfork": allow if forking else refuse,
        # Its flags lie in memory, which a filter cannot read; libc then uses clone.
        "clone3": [(_RETURN, 0, 0, _ERROR | _ENOSYS)],
        "socketpair": _one_of(0, (_AF_UNIX,)),  # both ends stay here; asyncio needs one
        "ioctl": _one_of(1, _IOCTLS, otherwise=_ENOTTY),
        "fcntl": _none_of(1, _FCNTLS_REFUSED),
        "prctl": _one_of(0, _PRCTLS),
        "prlimit64": _one_of(0, (0,)),  # itself only
        "kill": signals,
        "tkill": signals,
        "tgkill": signals,
    }


def _numbers(table: str, column: int) -> dict[str, int]:
    rows = [row.split() for row in table.split(";")]
    return {row[0]: int(row[1 + column]) for row in rows if row[1 + column] != "-"}


def _for_call(number: int, body: list[Instruction]) -> list[Instruction]:
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


def _argument(index: int) -> Instruction:
    """Load the argument's lower half, all that the kernel looks at for these arguments (both are little-endian)."""
    return (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8 * index)


def _one_of(index: int, values: tuple[int, ...], otherwise: int = _EPERM) -> list[Instruction]:
    last = len(values) - 1
    tests: list[Instruction] = [(_JUMP_EQUAL, last - i, int(i == last), value) for i, value in enumerate(values)]
    return [_argument(index), *tests, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERROR | otherwise)]


def _none_of(index: int, values: tuple[int, ...]) -> list[Instruction]:
    count = len(values)
    tests: list[Instruction] = [(_JUMP_EQUAL, count - i, 0, value) for i, value in enumerate(values)]
    return [_argument(index), *tests, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERROR | _EPERM)]


def _without_bits(index: int, bits: int) -> list[Instruction]:
    return [
        _argument(index),
        (_AND, 0, 0, bits),
        (_JUMP_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERROR | _EPERM),
    ]


def _thread() -> list[Instruction]:
    """clone() that makes a thread and no namespace."""
    return [
        _argument(0),
        (_AND, 0, 0, _CLONE_THREAD | _CLONE_NEW_ANYTHING),
        (_JUMP_EQUAL, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERROR | _EPERM),
    ]
