"""What is going on: the case, its state, its events and the worker behind it."""
