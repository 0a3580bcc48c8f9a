"""Labelled clips decoded into the frame table that training and evaluation read."""
