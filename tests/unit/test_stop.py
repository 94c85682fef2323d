"""Telling a daemon to end: by signals, which may come at any moment and more than one at a time."""

import subprocess
import sys

# At every line that is carried out while it is being told, it is told again, as by Ctrl-C and the guard together.
TOLD_IN_BETWEEN = """
import os, signal, sys
from cronkeeper.common.waker import Waker, stop_on_signals

waker = Waker()
stop = stop_on_signals(waker)
left = 20

def tell_again(frame, event, argument):
    global left
    left -= 1
    if left > 0:
        os.kill(os.getpid(), signal.SIGINT if left % 2 else signal.SIGTERM)
    return tell_again

sys.settrace(tell_again)
stop.set()
sys.settrace(None)
waker.wait(60)
print(stop.is_set(), left < 19)
"""


def test_a_signal_in_the_middle_of_another_ones_handler_hangs_nothing() -> None:
    command = [sys.executable, "-c", TOLD_IN_BETWEEN]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=20, check=True)
    assert done.stdout == "True True\n"
