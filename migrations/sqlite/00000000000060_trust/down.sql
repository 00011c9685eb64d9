-- There is no way back before the first version: delete the file instead.
SELECT 1;
