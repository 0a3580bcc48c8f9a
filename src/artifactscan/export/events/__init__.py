<<<<<<< HEAD
"""Events of a store for labelling tools and players: FiftyOne, Label Studio, CVAT and WebVTT."""
=======
"""Events of a store as files for FiftyOne, Label Studio, CVAT and players (WebVTT), and an index to import labels."""
>>>>>>> c38845e (Events for people who look: FiftyOne, Label Studio, CVAT and WebVTT, and corrected segments back as labels (written, not yet run))
