// The progress of long work is the command line's.
export { Progress, say } from '../../lib/cli/progress';
