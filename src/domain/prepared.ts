/** What every cluster of ours holds inside, by version: raising it prepares every database anew. */
export const preparedVersion = '1'

/** The role with which the backup agent pulls WAL. */
export const walRoleName = 'holdfast_wal'

/** The slot that holds WAL until the agent has it in the object store; the agent moves it forward. */
export const walSlotName = 'holdfast_wal'

/** The slot of the instance that follows the serving one, before an upgrade is done and after it. */
export const followerSlotName = 'holdfast_follower'

/** As whom a server that is made beside a cluster copies its data: see copy-server in the image. */
export const copierName = 'holdfast_copy'
