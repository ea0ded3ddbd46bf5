/** What every cluster of ours holds inside, by version: raising it prepares every database anew. */
export const preparedVersion = '1'

/** The replication slot through which the backup agent pulls WAL. */
export const walSlotName = 'holdfast_wal'
