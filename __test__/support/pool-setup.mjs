// The setup module of a pool: remembers what it was told.
const told = [];

export async function setup(seat) {
  await new Promise((resolve) => setTimeout(resolve, 5));
  told.push(seat);
}
export const heard = () => told;
