"""Text for people: the console, logs, and names and sizes made safe to print."""
