"""What holds for all tests."""

import signal

# A shell starts what it puts into the background with Ctrl-C ignored. Tests that press it, and the
# processes that they start, want it to work.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
