"""Labels by people: choosing frames, exporting them to labelling tools, importing the results as one labels table."""
