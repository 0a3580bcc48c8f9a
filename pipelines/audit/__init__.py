"""One night of the audit on Ray: the stages that score, and the order from canaries to the committed page."""
