/** What each shell runs to complete midctl. All of them ask `midctl __complete` with the words typed so far. */
export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

export function completionScript(shell: Shell): string {
  return scripts[shell];
}

// __complete takes the words after `midctl`, the last one being completed, and answers with lines "value<TAB>summary".
// The answer ":files" hands over to the shell's own file names.
const scripts: Readonly<Record<Shell, string>> = {
  bash: `# bash completion for midctl
_midctl() {
  local line words=() current cword
  COMPREPLY=()
  # = and : split words for readline, not for midctl
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n =: -w words -i cword
  else
    words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD
  fi
  current=\${words[cword]}
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
      return
    fi
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <(midctl __complete "\${words[@]:1:cword}" 2>/dev/null)
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$current"; fi
}
complete -F _midctl midctl
`,
  zsh: `#compdef midctl
# zsh completion for midctl
_midctl() {
  local line value
  local -a candidates
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      _files
      return
    fi
    value=\${line%%$'\\t'*}
    if [[ $line == *$'\\t'* ]]; then
      candidates+=("\${value//:/\\\\:}:\${line#*$'\\t'}")
    else
      candidates+=("\${value//:/\\\\:}")
    fi
  done < <(midctl __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe midctl candidates
}
if [ "$funcstack[1]" = "_midctl" ]; then
  _midctl
else
  compdef _midctl midctl
fi
`,
  fish: `# fish completion for midctl
function __midctl_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l answers (midctl __complete $words[2..-1] 2>/dev/null)
  if contains -- :files $answers
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $answers
  end
end
complete -c midctl -f -a '(__midctl_complete)'
`,
};
