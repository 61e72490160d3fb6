"""The log read again: any range of it, in parallel, by the folds that are live."""
