"""What commands exit with. `reservations` has one of its own beside these (`cli.py`)."""

DONE = 0
NOT_DONE = NOT_FOUND = DIFFERS = 1
WRONG = 2
"""Arguments, as argparse has it."""
AWAY = 3
"""A server."""
REFUSED = 4
"""A gap, what retention took, a store that is in use or must not be, a rebuild beside another."""
STOPPED = 130
CUT_OFF = 141
"""As shells have it: whoever read the answer, such as `head`, has seen enough."""
