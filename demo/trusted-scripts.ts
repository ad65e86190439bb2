/**
 * The page's policy demands trusted types: a text becomes HTML through the sanitiser alone, never a script, and an address
 * becomes a worker's only where it is this page's own. Browsers without trusted types have the rest of the policy.
 */

interface PolicyFactory {
  createPolicy(name: string, rules: { createScriptURL: (address: string) => string }): unknown;
}

export function allowOwnScriptsOnly(): void {
  const { trustedTypes } = globalThis as { trustedTypes?: PolicyFactory };
  trustedTypes?.createPolicy("default", {
    createScriptURL: (address) => {
      if (new URL(address, location.href).origin === location.origin) return address;
      throw new TypeError(`A script from ${address} was refused: this page runs its own scripts only.`);
    },
  });
}
