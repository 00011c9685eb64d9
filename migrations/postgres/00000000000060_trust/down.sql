-- There is no way back before the first version: drop the database instead.
SELECT 1;
