"""What a run leaves on its machine when it is killed, processes and temporary folders, and how later runs remove it."""
