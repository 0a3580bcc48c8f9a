"""Events of a store for labelling tools and players: FiftyOne, Label Studio, CVAT and WebVTT."""
