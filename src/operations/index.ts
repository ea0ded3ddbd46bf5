/** Every phase machine by kind. A controller works only on operations whose version it knows. */
import type { Operation, OperationKind } from '../domain/desired.ts'
import type { Machine } from './machine.ts'
import { changeTierMachine } from './changeTier.ts'
import { downgradeMachine } from './downgrade.ts'
import { rehearseUpgradeMachine } from './rehearseUpgrade.ts'
import { reinitialiseMachine } from './reinitialise.ts'
import { restartMachine } from './restart.ts'
import { restoreMachine } from './restore.ts'
import { rollbackMachine } from './rollback.ts'
import { switchoverMachine } from './switchover.ts'
import { takeOverEndpointMachine } from './takeOverEndpoint.ts'
import { upgradeToHaMachine } from './upgradeToHa.ts'

const machines: Readonly<Record<OperationKind, Machine>> = {
  restore: restoreMachine,
  takeOverEndpoint: takeOverEndpointMachine,
  switchover: switchoverMachine,
  restart: restartMachine,
  reinitialise: reinitialiseMachine,
  changeTier: changeTierMachine,
  upgradeToHa: upgradeToHaMachine,
  rollback: rollbackMachine,
  downgrade: downgradeMachine,
  rehearseUpgrade: rehearseUpgradeMachine,
}

/** The newest version of each machine: databases with a newer unfinished operation are left to newer controllers. */
export const machineVersions: Readonly<Record<OperationKind, number>> = {
  restore: restoreMachine.version,
  takeOverEndpoint: takeOverEndpointMachine.version,
  switchover: switchoverMachine.version,
  restart: restartMachine.version,
  reinitialise: reinitialiseMachine.version,
  changeTier: changeTierMachine.version,
  upgradeToHa: upgradeToHaMachine.version,
  rollback: rollbackMachine.version,
  downgrade: downgradeMachine.version,
  rehearseUpgrade: rehearseUpgradeMachine.version,
}

/** The machine of an operation, or null when this controller is too old for it. */
export function machineFor(operation: Operation): Machine | null {
  const machine = machines[operation.kind]
  return operation.machineVersion <= machine.version ? machine : null
}
