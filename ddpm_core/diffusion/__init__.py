"""The numbers room: schedules, parameterisations, plans and the one sampling loop, in numpy alone."""
