"""All that is about Ray itself: joining a cluster, its nodes, actor pools, Ray Data, progress, submitted jobs."""
