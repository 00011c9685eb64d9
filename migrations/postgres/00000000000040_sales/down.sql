-- There is no way back: the numbers of sales are counted from the log, and what was there before is gone.
SELECT 1;
