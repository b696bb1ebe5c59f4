# SPDX-License-Identifier: Apache-2.0
"""What a benchmark takes of the machine for a while: processes, folders, hugepages, a mount, a network namespace. All of it
is given back however the benchmark ends, also by SIGTERM or ctrl-C: the signal becomes an exception, which takes every
`with` along on its way out. What it meets between two of them, guarded() gives back at the end."""
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 10  # seconds that a process has to end by itself
HUGEPAGES = "/proc/sys/vm/nr_hugepages"


class Ended(BaseException):
    """By a signal. Not an Exception: a benchmark that failed is followed by the next one, an ended one is not."""

    def __init__(self, number):
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


class _State:
    held = 0
    came = None  # the first signal; those after it change nothing
    told = False
    undo = []  # what is to be given back, the last first


def _on_signal(number, _frame):
    _State.came = _State.came or number
    _tell()


def _tell():
    if _State.came and not _State.told and not _State.held:
        _State.told = True
        raise Ended(_State.came)


@contextlib.contextmanager
def held():
    """A signal waits until the block is done."""
    _State.held += 1
    try:
        yield
    finally:
        _State.held -= 1
        _tell()


def _give_back(undo):
    with held():
        if undo in _State.undo:
            _State.undo.remove(undo)
            undo()


@contextlib.contextmanager
def borrowed(undo):
    """undo() is called once, when the block ends; it copes with what was never taken."""
    _State.undo.append(undo)
    try:
        yield
    finally:
        _give_back(undo)


def guarded(main):
    """Runs main(). Ended by a signal, the exit status is 128 and the signal's number, as a shell has it."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, _on_signal)
    try:
        main()
    except Ended as ended:
        print(f"bench: {ended}", file=sys.stderr, flush=True)
        sys.exit(128 + ended.number)
    finally:
        while _State.undo:
            _give_back(_State.undo[-1])
        if _State.told:  # Python gives signals back their own ways before it is gone: one more would spoil the status
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)


def _end(process):
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def started(words, **how):
    """A process, as Popen starts it; ended by SIGTERM, and by force when that does not help."""
    with contextlib.ExitStack() as stack:
        with held():
            process = subprocess.Popen(words, **how)
            stack.enter_context(borrowed(functools.partial(_end, process)))
        yield process


def run(words, check=False, capture_output=False, **how):
    """subprocess.run(), but a process that a signal interrupts may end its own ones and remove what it made."""
    if capture_output:
        how |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(words, **how) as process:
        out, err = process.communicate()
    done = subprocess.CompletedProcess(words, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


@contextlib.contextmanager
def folder(parent=None):
    """A temporary one."""
    with contextlib.ExitStack() as stack:
        with held():
            path = tempfile.mkdtemp(prefix="vigia-", dir=parent)
            stack.enter_context(borrowed(functools.partial(shutil.rmtree, path, ignore_errors=True)))
        yield path


def _quickly(*words):
    """In a session of its own: ctrl-C is for us, not for who gives back."""
    subprocess.run(words, check=True, start_new_session=True)


@contextlib.contextmanager
def hugepages(more):
    """So many more of them, or fewer; only root can, for others nothing happens."""
    with open(HUGEPAGES, encoding="ascii") as f:
        before = int(f.read())

    def put(pages):
        if os.geteuid() == 0:
            with open(HUGEPAGES, "w", encoding="ascii") as f:
                f.write(str(pages))

    with borrowed(functools.partial(put, before)):
        put(max(0, before + more))
        yield


@contextlib.contextmanager
def hugetlbfs(path):
    """Mounted there; the folder is made."""
    def umount():
        if os.path.ismount(path):
            _quickly("umount", path)

    os.mkdir(path)
    with borrowed(umount):
        with held():
            _quickly("mount", "-t", "hugetlbfs", "none", path)
        yield path


@contextlib.contextmanager
def namespace(name):
    """A network namespace; interfaces that are made in it go with it."""
    def delete():
        if os.path.exists(f"/run/netns/{name}"):
            _quickly("ip", "netns", "del", name)

    with borrowed(delete):
        with held():
            _quickly("ip", "netns", "add", name)
        yield name
