"""The assets of the warehouse, their syncs, the schedule and the sensor."""
