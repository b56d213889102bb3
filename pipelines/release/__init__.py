"""The registry's aliases: promotion, rollback and their history."""
