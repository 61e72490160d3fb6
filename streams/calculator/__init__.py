"""The experiments' statistics on the command line: the functions that results use, asked for by hand or by a script."""
