import signal

signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
