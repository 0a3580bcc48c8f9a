"""How the library's stages are put together on Ray; Ray lives here and in jobs/, nowhere else."""
