"""What the system learns: pure folds of the log, and the step that stores them once and only once."""
