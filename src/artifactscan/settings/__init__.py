"""Groups of settings that several jobs share, each with its flags, defaults and checks."""
