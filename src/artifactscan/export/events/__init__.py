"""Events of a store as files for FiftyOne, Label Studio, CVAT and players (WebVTT), and an index to import labels."""
