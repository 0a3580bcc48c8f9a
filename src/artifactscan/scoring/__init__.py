"""Everything about a scoring run that needs no Ray: its plan and cost, what is left to do, and settling into tables."""
