"""What experiments have shown, in numbers: pure functions of a few sums per arm, whatever the number of payments."""
