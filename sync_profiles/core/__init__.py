"""The pure middle: values in, values out. No clock, no socket, no file."""
