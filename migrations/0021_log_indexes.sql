-- The indexes of 0020 begin with the same columns and answer whatever these two did; an index that nobody needs is written at each entry.
DROP INDEX "midctl_log_identity_idx";
DROP INDEX "midctl_log_credential_idx";
