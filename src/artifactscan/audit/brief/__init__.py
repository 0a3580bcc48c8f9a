"""A night in a few sentences: what pages, mails, messages and terminals begin with."""
